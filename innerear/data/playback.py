"""Audio played in order: the next seconds of a clip, without the rest of it in memory."""

from collections.abc import Iterator

import numpy as np


class Playback:
    """What comes next in a clip.

    Parameters
    ----------
    pieces
        The clip in consecutive pieces, as `Item.pieces` gives it.

    Attributes
    ----------
    start
        Samples of the clip that were passed.
    """

    def __init__(self, pieces: Iterator[np.ndarray]) -> None:
        self.start = 0
        self._pieces = pieces
        self._next = np.zeros(0, np.float32)

    def peek(self, samples: int) -> np.ndarray:
        """The next samples, fewer at the end of the clip."""
        waiting = [self._next]
        while sum(map(len, waiting)) < samples and (piece := next(self._pieces, None)) is not None:
            waiting.append(piece)
        self._next = np.concatenate(waiting) if len(waiting) > 1 else self._next
        return self._next[:samples]

    def skip(self, samples: int) -> None:
        """Pass by so many samples, which have been peeked at."""
        assert samples <= len(self._next)
        self._next = self._next[samples:].copy()  # a view would keep the whole
        self.start += samples
