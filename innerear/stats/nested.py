"""Nested means over phone pairs and speakers, as for ABX errors, and their jackknife over speakers."""

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from innerear.stats.intervals import jackknife_error


def indexed(cells: pd.DataFrame) -> np.ndarray:
    """Indices of each cell's ordered phone pair, speaker of A and B, and speaker of X, [3, cell]."""
    pair = cells.groupby(["phone", "other"]).ngroup().to_numpy()
    _, speakers = np.unique(cells[["speaker", "x_speaker"]].to_numpy(str), return_inverse=True)
    return np.vstack([pair, speakers.reshape(-1, 2).T])


def pooled(index: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean over contexts and speakers of X, then over speakers, then over ordered phone pairs.

    Parameters
    ----------
    index
        As from `indexed`.
    values
        [..., cell].

    Returns
    -------
    np.ndarray
        [...].
    """
    pair, speaker = (np.unique(row, return_inverse=True)[1] for row in index[:2])
    shape = (pair.max() + 1, speaker.max() + 1)
    first = np.moveaxis(values, -1, 0)
    sums, counts = np.zeros(shape + first.shape[1:]), np.zeros(shape + (1,) * (values.ndim - 1))
    np.add.at(sums, (pair, speaker), first)
    np.add.at(counts, (pair, speaker), 1)
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0).sum(axis=1)
    return np.asarray((means / (counts > 0).sum(axis=1)).sum(axis=0) / shape[0])


def pooled_without(index: np.ndarray, values: np.ndarray) -> np.ndarray:
    """As `pooled`, with each speaker left out in both roles, as A and B and as X: [..., speaker].

    A cell of two speakers is left out with either of them, so the jackknife variance counts it twice. The
    variance from leaving out pairs of speakers is therefore subtracted (Fafchamps & Gubert 2007; Aronow,
    Samii & Assenova 2015); the variance over speakers of A and B alone is the lower limit. Deviations from
    the mean are shrunk accordingly, so that `jackknife_error` gives the corrected standard error.
    """
    return corrected(*left_out(index, values))


def left_out(index: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `pooled_without` is made of; linear in the values, so that those of a difference are differences.

    Returns
    -------
    made, alone, couples
        `pooled` with each speaker left out in both roles, [..., speaker]; only as A and B, [..., speaker of A
        and B]; and how much leaving out each pair of speakers changes it, [..., couple].
    """
    speaker, (low, high) = index[1], np.sort(index[1:], axis=0)
    everyone = np.arange(high.max() + 1)[:, None]
    couple = low * len(everyone) + high
    made = _left(index, values, (low == everyone) | (high == everyone))
    alone = _left(index, values, speaker == np.unique(speaker)[:, None])
    changes = _left(index, values, couple == np.unique(couple[low < high])[:, None])
    return made, alone, changes - pooled(index, values)[..., None]


def corrected(made: np.ndarray, alone: np.ndarray, couples: np.ndarray) -> np.ndarray:
    """`pooled_without` from its parts, see `left_out`."""
    error, least = jackknife_error(made), jackknife_error(alone)
    right = np.sqrt(np.maximum(error**2 - np.square(couples).sum(axis=-1), least**2))
    share = np.divide(right, error, out=np.ones_like(error), where=error > 0)[..., None]
    mean = made.mean(axis=-1, keepdims=True)
    return np.asarray(mean + share * (made - mean))


def _left(index: np.ndarray, values: np.ndarray, out: np.ndarray) -> np.ndarray:
    """`pooled` without the cells marked in each row of `out` [row, cell]: [..., row]; NaN if none is left."""
    pairs, group = np.unique(index[0] * (index[1].max() + 1) + index[1], return_inverse=True)
    to_group, to_pair = (
        csr_array((np.ones(len(each)), (np.arange(len(each)), each)))
        for each in (group, pairs // (index[1].max() + 1))
    )
    kept = (~out).astype(float)
    counts = kept @ to_group
    groups_of_pair = (counts > 0).astype(float) @ to_pair
    made = []
    for row in values.reshape(-1, values.shape[-1]):
        means = np.divide((kept * row) @ to_group, counts, out=np.zeros_like(counts), where=counts > 0)
        with np.errstate(invalid="ignore"):
            made.append(
                ((means @ to_pair) / np.maximum(groups_of_pair, 1)).sum(axis=1)
                / (groups_of_pair > 0).sum(axis=1)
            )
    return np.reshape(made, (*values.shape[:-1], len(out)))
