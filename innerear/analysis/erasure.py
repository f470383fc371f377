"""Linear concept erasure in closed form: LEACE (Belrose et al. 2023, arXiv 2306.03819, theorem 4.2).

An eraser takes a subspace away, after which no linear probe tells the classes of the states that it was
fitted on, and of all affine maps that achieve this it changes them least. A random subspace of the same rank
is taken away in the same manner, for comparison.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from scipy.linalg import solve_triangular
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import Tensor

from innerear.util.errors import InputError

NOTHING = 1e-9
"""Whitened covariance with the classes, relative to the largest, below which a direction has none."""
LEAST_SHRINKAGE = 1e-6
"""Keeps the covariance of states that span fewer dimensions than they have positive definite."""


@dataclass(frozen=True)
class Eraser:
    """The map x ↦ x − ((x − mean) readᵀ) write.

    Attributes
    ----------
    mean
        [dim].
    read, write
        [rank, dim]: how far a state is along each direction, and the direction that is taken away.
    """

    mean: np.ndarray
    read: np.ndarray
    write: np.ndarray

    @property
    def rank(self) -> int:
        """Dimensions that are taken away."""
        return len(self.read)

    def removed(self, states: np.ndarray) -> np.ndarray:
        """What is taken away from states [..., dim], in their type of numbers."""
        kind = states.dtype
        centred = states - self.mean.astype(kind)
        return np.asarray(centred @ self.read.T.astype(kind) @ self.write.astype(kind))

    def __call__(self, states: np.ndarray) -> np.ndarray:
        """States [..., dim] without the subspace."""
        return np.asarray(states - self.removed(states))

    def packed(self) -> Tensor:
        """The source of an intervention of kind `erase`: mean, read and write, float32 [1 + 2 rank, dim]."""
        return torch.from_numpy(np.concatenate([self.mean[None], self.read, self.write])).float()


@dataclass(frozen=True)
class Whitening:
    """The mean of states, and a square root of their covariance.

    Attributes
    ----------
    mean
        [dim].
    root
        Lower triangular, [dim, dim]: the covariance is root rootᵀ.
    """

    mean: np.ndarray
    root: np.ndarray

    @classmethod
    def of(cls, states: np.ndarray) -> Self:
        """Fit to states [frame, dim].

        Standardised, their covariance is shrunk towards the identity (Ledoit & Wolf 2004): few frames of
        many dimensions give a bad one. The guarantee holds with any covariance; only the least change is
        that under this one.

        Raises
        ------
        InputError
            If a state is not finite.
        """
        x = states.astype(np.float64)
        if not np.isfinite(x).all():
            raise InputError("the states are not finite; nothing can be erased from them")
        mean, scale = x.mean(axis=0), x.std(axis=0)
        scale[scale == 0] = 1.0
        x = (x - mean) / scale
        share = max(float(ledoit_wolf_shrinkage(x, assume_centered=True)), LEAST_SHRINKAGE)
        covariance = (1 - share) * (x.T @ x) / len(x) + share * np.eye(x.shape[1])
        return cls.from_covariance(mean, scale[:, None] * covariance * scale)

    @classmethod
    def from_covariance(cls, mean: np.ndarray, covariance: np.ndarray) -> Self:
        """From a covariance [dim, dim] that is positive definite."""
        return cls(mean, np.linalg.cholesky(covariance))

    def concept(self, states: np.ndarray, labels: np.ndarray) -> Eraser:
        """The eraser of the classes of states [frame, dim] with integer labels [frame]; it may have rank 0.

        Its rank is that of the differences between class means: at most the number of classes less one.
        """
        one_hot = (labels[:, None] == np.unique(labels)).astype(np.float64)
        x = states.astype(np.float64) - states.mean(axis=0, dtype=np.float64)
        return self.erasing(x.T @ (one_hot - one_hot.mean(axis=0)) / len(x))

    def erasing(self, covariance: np.ndarray) -> Eraser:
        """The eraser of what states have this covariance with, [dim, class]."""
        whitened = solve_triangular(self.root, covariance, lower=True)
        basis, size, _ = np.linalg.svd(whitened, full_matrices=False)
        return self._along(basis[:, size > NOTHING * max(size[0], np.finfo(float).tiny)])

    def random(self, rank: int, seed: int) -> Eraser:
        """The eraser of a random subspace, drawn where all directions have the same variance."""
        drawn = np.random.default_rng(seed).standard_normal((len(self.mean), rank))
        return self._along(np.linalg.qr(drawn)[0])

    def _along(self, basis: np.ndarray) -> Eraser:
        """The eraser of orthonormal directions of the whitened states, [dim, rank]."""
        read = solve_triangular(self.root, basis, lower=True, trans="T").T
        return Eraser(self.mean, read, (self.root @ basis).T)
