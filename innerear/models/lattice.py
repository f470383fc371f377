"""The forward algorithm of transducers: the probability of a text, summed over all of its alignments."""

from collections.abc import Mapping

import numpy as np


def total_log_prob(
    blank: np.ndarray,
    label: np.ndarray,
    after_blank: Mapping[int, np.ndarray],
    after_label: Mapping[int, np.ndarray],
) -> float:
    """Log-probability of a text of U tokens over T frames (Graves 2012; with durations Xu et al. 2023).

    A path starts at frame 0, before the first token; a blank that moves to frame T exactly ends it.

    Parameters
    ----------
    blank
        Log-probability of the blank at each frame after each number of tokens, [T, U + 1].
    label
        That of the next token of the text, [T, U].
    after_blank, after_label
        By duration in frames: log-probability [T, U + 1] that a blank, or a token, stands for so many. A
        blank of no frames is on no path. A plain transducer moves by 1 after a blank, by 0 after a token.

    Returns
    -------
    float
        In nats; -inf if there is no path.
    """
    frames, states = blank.shape
    alpha = np.full((frames + 1, states), -np.inf)
    alpha[0, 0] = 0.0
    for frame in range(frames + 1):
        for duration, move in after_blank.items():
            if 0 < duration <= frame:
                at = frame - duration
                alpha[frame] = np.logaddexp(alpha[frame], alpha[at] + blank[at] + move[at])
        if frame == frames:
            break
        for duration, move in after_label.items():
            if 0 < duration <= frame:
                at = frame - duration
                arrived = alpha[at, :-1] + label[at] + move[at, :-1]
                alpha[frame, 1:] = np.logaddexp(alpha[frame, 1:], arrived)
        if (still := after_label.get(0)) is not None:
            for state in range(1, states):
                arrived = alpha[frame, state - 1] + label[frame, state - 1] + still[frame, state - 1]
                alpha[frame, state] = np.logaddexp(alpha[frame, state], arrived)
    return float(alpha[-1, -1])
