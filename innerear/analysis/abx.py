"""Triphone ABX: is X closer to A, the same phone, than to B, another one? Distances only, no probe.

Schatz et al. (2013, Interspeech) and Schatz (2016, thesis), with the task and the averages of the ZeroSpeech
challenges (Nguyen et al. 2020) as in the library fastabx (Poli et al. 2025). A, B and X share the phones
before and after, so that only the middle phone differs. Within speakers, one voice says all three and A is
not X; across speakers, one voice says A and B and another says X. The two orders of two phones (/p/ as A and
/b/ as B, or the reverse) are separate cells. 0 is perfect, 0.5 is chance.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise, permutations
from typing import Literal

import numpy as np
import pandas as pd

from innerear.data.phones import SILENCE
from innerear.data.schema import Corpus
from innerear.stats.nested import indexed, pooled
from innerear.util.errors import InputError

Mode = Literal["within", "across"]
Distance = Literal["angular", "cosine"]

_GAP = 1e-3  # seconds: aligners round times to milliseconds
_CHUNK = 256  # pairs whose frames are compared at once
_UNIT = 1e9  # frame distances are whole multiples of 1 / _UNIT, so that sums are exact and ties are ties
_STEPS = 2.0**12
"""A path's key is cost * _STEPS + steps: the smallest is that of the cheapest path, then the shortest."""


@dataclass(frozen=True)
class Token:
    """One spoken triphone.

    Attributes
    ----------
    phone
        The middle phone.
    context
        The phones before and after it.
    clip, item
        Id and index of the clip in its corpus.
    start, end
        Of all three phones, in seconds.
    """

    phone: str
    context: tuple[str, str]
    speaker: str
    clip: str
    item: int
    start: float
    end: float


def triphones(corpus: Corpus) -> list[Token]:
    """All triphones of a corpus, in its order, except those with a silence or a gap.

    Raises
    ------
    InputError
        If no clip has three phones in a row, or one that does has no speaker.
    """
    tokens = []
    for index, item in enumerate(corpus):
        for before, middle, after in zip(item.phones, item.phones[1:], item.phones[2:], strict=False):
            three = (before, middle, after)
            if any(phone.label == SILENCE for phone in three):
                continue
            if any(right.start - left.end > _GAP for left, right in pairwise(three)):
                continue
            if not item.speaker:
                raise InputError(
                    f"{corpus.name}: {item.id} has no speaker; ABX compares speakers, so every clip needs one"
                )
            context = (before.label, after.label)
            tokens.append(Token(middle.label, context, item.speaker, item.id, index, before.start, after.end))
    if not tokens:
        raise InputError(
            f"{corpus.name}: no clip has three phones in a row; add phones with `innerear corpora align`, "
            "or provide TextGrids"
        )
    return tokens


@dataclass(frozen=True)
class Comparisons:
    """The triples to compare, the same for every layer and every model.

    Attributes
    ----------
    tokens
        The tokens that are compared, by clip and time. Frames must be given in this order.
    pairs
        Indices of the tokens whose distance is needed, [pair, 2]; every pair occurs once.
    cells
        One row per cell: `phone` (of A and X), `other` (of B), `before`, `after`, `speaker` (of A and B),
        `x_speaker`, and `triples`, the number of triples.
    cell, ax, bx
        For each triple its cell and the rows in `pairs` of (A, X) and (B, X), [triple].
    """

    tokens: tuple[Token, ...]
    pairs: np.ndarray
    cells: pd.DataFrame
    cell: np.ndarray
    ax: np.ndarray
    bx: np.ndarray


@dataclass(frozen=True)
class Errors:
    """ABX errors of one layer.

    Attributes
    ----------
    pooled
        The mean over contexts (and speakers of X) for a phone pair and a speaker of A and B, then over
        speakers for a phone pair, then over ordered phone pairs: fastabx's
        `collapse(levels=[("next-phone", "prev-phone"), "speaker"])`. Every mean is plain, whatever the
        number of triples.
    cells
        Mean over the triples of each row of `Comparisons.cells`, [cell].
    """

    pooled: float
    cells: np.ndarray


def comparisons(
    tokens: Sequence[Token], mode: Mode, *, most: int = 10, x_speakers: int = 5, seed: int = 0
) -> Comparisons:
    """Choose the triples. The plan depends on names, times and the seed, not on the order of the tokens.

    Parameters
    ----------
    tokens
        As from `triphones`, without those for which a model has no frame.
    most
        Maximum number of tokens per phone, context and speaker; a hash of seed, clip and time decides which
        are kept. They serve as A, B and X (ZeroSpeech keeps 10).
    x_speakers
        Across speakers: maximum number of voices of X for each phone pair, context and voice of A and B; a
        hash of seed and both names decides which are kept (ZeroSpeech keeps 5).

    Raises
    ------
    InputError
        If nothing can be compared, or `most` or `x_speakers` is too small.
    """
    if most < 2 or x_speakers < 1:
        raise InputError(
            f"most is {most} and x_speakers {x_speakers}; A and X need at least 2 tokens and 1 voice"
        )
    ordered = sorted(tokens, key=lambda token: (token.clip, token.start, token.end))
    groups: dict[tuple[tuple[str, str], str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index in sorted(range(len(ordered)), key=lambda index: _rank(seed, *_name(ordered[index]))):
        token = ordered[index]
        group = groups[token.context, token.speaker][token.phone]
        if len(group) < most:
            group.append(index)

    voices: dict[tuple[tuple[str, str], str], list[str]] = defaultdict(list)
    for (context, speaker), phones in sorted(groups.items()):
        for phone in phones:
            voices[context, phone].append(speaker)

    def sides(context: tuple[str, str], phone: str, speaker: str) -> Iterator[str]:
        """Voices of X."""
        if mode == "within":
            yield speaker
        else:
            others = (voice for voice in voices[context, phone] if voice != speaker)
            yield from sorted(others, key=lambda voice: _rank(seed, speaker, voice))[:x_speakers]

    rows, triples = [], []
    for (context, speaker), phones in sorted(groups.items()):
        for phone, other in permutations(sorted(phones), 2):
            for voice in sides(context, phone, speaker):
                a, b, x = np.meshgrid(
                    phones[phone], phones[other], groups[context, voice][phone], indexing="ij"
                )
                distinct = a != x  # within a speaker A and X are of one group
                if distinct.any():
                    triples.append(np.stack([a[distinct], b[distinct], x[distinct]]))
                    rows.append((phone, other, *context, speaker, voice, triples[-1].shape[1]))
    if not rows:
        raise InputError(_missing(ordered, groups, mode))
    cells = pd.DataFrame(
        rows, columns=["phone", "other", "before", "after", "speaker", "x_speaker", "triples"]
    )
    used, indices = np.unique(np.concatenate(triples, axis=1), return_inverse=True)
    a, b, x = indices.reshape(3, -1)
    both = np.sort(np.concatenate([np.stack([a, x]), np.stack([b, x])], axis=1), axis=0)
    pairs, row = np.unique(both, axis=1, return_inverse=True)
    ax, bx = row.reshape(2, -1)
    cell = np.repeat(np.arange(len(cells)), cells["triples"])
    return Comparisons(tuple(ordered[index] for index in used), pairs.T, cells, cell, ax, bx)


def abx_errors(frames: Sequence[np.ndarray], plan: Comparisons, distance: Distance = "angular") -> Errors:
    """Errors of one layer: 1 for a triple with d(A, X) > d(B, X), 0.5 for a tie, else 0.

    Parameters
    ----------
    frames
        States of each of `plan.tokens`, [frame, dim]. fastabx takes the frames whose centre is in the token.
    distance
        As in `token_distances`.

    Raises
    ------
    InputError
        If the frames do not fit the plan, a token has none, or a value is not finite.
    """
    if len(frames) != len(plan.tokens):
        raise InputError(f"got frames of {len(frames)} tokens, but the plan has {len(plan.tokens)}")
    for token, states in zip(plan.tokens, frames, strict=True):
        what = f"{token.clip}, {token.start:.3f}-{token.end:.3f} s"
        if states.ndim != 2 or not len(states) or states.shape[1] != frames[0].shape[1]:
            raise InputError(
                f"{what}: frames of shape {states.shape}; ABX needs [frame, dim] with at least one frame"
            )
        if not np.isfinite(states).all():
            raise InputError(f"{what}: the frames are not finite; check the model's weights")
    distances = token_distances(frames, plan.pairs, distance)
    wrong = (1 + np.sign(distances[plan.ax] - distances[plan.bx])) / 2
    cells = np.bincount(plan.cell, wrong) / plan.cells["triples"].to_numpy()
    return Errors(float(pooled(indexed(plan.cells), cells)), cells)


def token_distances(
    frames: Sequence[np.ndarray], pairs: np.ndarray, distance: Distance = "angular"
) -> np.ndarray:
    """Mean frame distance along the cheapest alignment of each pair of tokens (dynamic time warping).

    A path starts at both first frames, ends at both last frames, and moves on by a frame of one token or of
    both. Of equally cheap paths the shortest counts, so distances are symmetric. Arithmetic is float64 with
    cosines rounded to 1e-12 and frame distances to 1e-9: equal frames are at 0, ties are ties, and neither
    the batch nor the order of the pairs matters. An angle under 1.4e-6 rad may be off by as much.

    Parameters
    ----------
    frames
        [frame, dim] for each token.
    pairs
        Indices of tokens, [pair, 2].
    distance
        Of two frames: "angular" is their angle over pi, in [0, 1] (in fastabx "cosine" is another name for
        it); "cosine" is 1 - cos, in [0, 2]. A frame of zeros is opposite to every other frame (cos = -1)
        and equal to another of zeros; fastabx 0.9 documents the same, but uses a frame of ones instead.

    Returns
    -------
    np.ndarray
        [pair].
    """
    # librosa for its compiled dynamic time warping, which scipy lacks.
    import librosa

    lengths = np.array([len(states) for states in frames])
    starts = np.cumsum(lengths) - lengths
    table = np.concatenate(frames)
    norms = np.sqrt(np.einsum("fd,fd->f", table, table, dtype=np.float64))
    means = np.empty(len(pairs))
    order = np.lexsort((lengths[pairs].min(axis=1), lengths[pairs].max(axis=1)))  # little padding in a chunk
    for chunk in np.split(order, range(_CHUNK, len(order), _CHUNK)):
        left, right = (
            starts[side, None] + np.minimum(np.arange(lengths[side].max()), lengths[side, None] - 1)
            for side in pairs[chunk].T
        )  # [pair, frame]; a short token is padded with its last frame, and then cut
        dot = table[left].astype(np.float64) @ table[right].astype(np.float64).swapaxes(1, 2)
        size = norms[left][:, :, None] * norms[right][:, None, :]
        silent = (norms[left] == 0)[:, :, None] & (norms[right] == 0)[:, None, :]
        cos = np.divide(dot, size, out=np.where(silent, 1.0, -1.0), where=size > 0)
        cos = np.clip(np.round(cos, 12), -1, 1)
        local = np.arccos(cos) / np.pi if distance == "angular" else 1 - cos
        keys = np.rint(_UNIT * local) * _STEPS + 1
        for row, key, (i, j) in zip(chunk, keys, lengths[pairs[chunk]], strict=True):
            total = librosa.sequence.dtw(C=key[:i, :j], backtrack=False)[-1, -1]
            cost, steps = divmod(total, _STEPS)
            means[row] = cost / steps / _UNIT
    return means


def _name(token: Token) -> tuple[str, str, str]:
    return token.clip, f"{token.start:.6f}", token.phone


def _rank(seed: int, *names: str) -> str:
    return sha256(":".join([str(seed), *names]).encode()).hexdigest()


def _missing(
    tokens: Sequence[Token], groups: dict[tuple[tuple[str, str], str], dict[str, list[int]]], mode: Mode
) -> str:
    """Why no triple could be formed."""
    if not any(len(phones) > 1 for phones in groups.values()):
        why = "no speaker says two phones in one context; give more clips"
    elif mode == "within":
        why = "no triphone that has a contrast occurs twice within a speaker; use across, or give more clips"
    elif len({token.speaker for token in tokens}) < 2:
        why = "there is one speaker only; use within, or give clips of more speakers"
    else:
        why = "no triphone that has a contrast is said by two speakers; use within, or give more clips"
    return f"nothing to compare in {len(tokens)} triphones, {mode} speakers: {why}"
