"""Centre and whiten embeddings: reports resemble one another, and their common part says nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Directions with less than this part of the largest variance are not blown up to unit variance.
_VARIANCE_FLOOR = 1e-3
_TINY = 1e-12  # float32 noise of equal texts


@dataclass(frozen=True)
class Whitening:
    """x -> (x - mean) @ matrix; `mean` float32 (d,), `matrix` float32 (d, d)."""

    mean: NDArray[np.float32]
    matrix: NDArray[np.float32]

    def __call__(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embeddings float32 (n, d) -> float32 (n, d)."""
        return np.asarray((embeddings - self.mean) @ self.matrix, dtype=np.float32)


def centring(train: NDArray[np.float32]) -> Whitening:
    """Subtracts the mean of `train` (n, d), n >= 1, the embeddings of the training split alone."""
    _check(train)
    return Whitening(
        train.mean(axis=0, dtype=np.float64).astype(np.float32), np.eye(train.shape[1], dtype=np.float32)
    )


def whitening(train: NDArray[np.float32]) -> Whitening:
    """Also gives `train` (n, d) the identity as covariance, rotating as little as possible (ZCA).

    With the covariance U diag(v) U', the matrix is U diag(1 / sqrt(v)) U' (Bell and Sejnowski 1997; for
    text, Su et al., arXiv 2103.15316); v is floored, for fewer texts than dimensions.
    """
    _check(train)
    centred = train.astype(np.float64) - train.mean(axis=0, dtype=np.float64)
    variance, axes = np.linalg.eigh(centred.T @ centred / len(train))
    floor = max(variance[-1] * _VARIANCE_FLOOR, _TINY)
    matrix = axes / np.sqrt(np.maximum(variance, floor)) @ axes.T
    return Whitening(train.mean(axis=0, dtype=np.float64).astype(np.float32), matrix.astype(np.float32))


def _check(train: NDArray[np.float32]) -> None:
    if train.ndim != 2 or not len(train) or not np.isfinite(train).all():
        raise ValueError(f"embeddings must be a finite (n, d) array with n >= 1, not {train.shape}")
