"""Geometry of representations: has an encoder collapsed, and how much do two of them agree?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ROUNDING = 1e-9  # what centring equal rows leaves of them is less


def effective_rank(x: NDArray[np.floating]) -> float:
    """exp of the entropy of the singular values of (n, d), scaled to sum to 1; between 1 and min(n, d).

    Roy and Vetterli, "The effective rank" (EUSIPCO 2007). `x` is taken as it is: a common mean is a
    direction like any other. Of zeros it is 0.
    """
    values = np.linalg.svd(x.astype(np.float64), compute_uv=False)
    shares = values[values > 0] / max(values.sum(), np.finfo(np.float64).tiny)
    return float(np.exp(-(shares * np.log(shares)).sum())) if shares.size else 0.0


def mean_cosine(x: NDArray[np.floating]) -> float:
    """Mean cosine of all pairs of different rows of (n, d), n >= 2, not centred; 1 where all agree."""
    units = unit_rows(x)
    pairs = np.square(units.sum(axis=0)).sum() - np.square(units).sum()
    return float(pairs / (len(x) * (len(x) - 1)))


def cka(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """Linear CKA of two representations (n, p), (n, q) of the same recordings, in [0, 1].

    Kornblith et al., "Similarity of neural network representations revisited" (ICML 2019), eq. 3, by
    features. A representation that does not differ between recordings agrees with nothing: 0.
    """
    first, second = _centred(x), _centred(y)
    scale = np.linalg.norm(first.T @ first) * np.linalg.norm(second.T @ second)
    return float(np.square(np.linalg.norm(second.T @ first)) / scale) if scale > 0 else 0.0


def _centred(x: NDArray[np.floating]) -> NDArray[np.float64]:
    wide = x.astype(np.float64)
    centred = wide - wide.mean(axis=0)
    differs = np.linalg.norm(centred) > _ROUNDING * np.linalg.norm(wide)
    return np.asarray(centred if differs else np.zeros_like(wide), dtype=np.float64)


def neighbour_overlap(x: NDArray[np.floating], y: NDArray[np.floating], depth: int) -> float:
    """Mean share of a row's `depth` nearest other rows by cosine that (n, p) and (n, q) have in common.

    1 where all agree; by chance depth / (n - 1). With n - 1 <= depth it is 1: all others are neighbours.
    Ties are broken by the order of the rows, the same in both.
    """
    depth = min(depth, len(x) - 1)
    first, second = (np.argsort(-_cosines(part), axis=1, kind="stable")[:, :depth] for part in (x, y))
    shared = [np.intersect1d(one, other).size for one, other in zip(first, second, strict=True)]
    return float(np.mean(shared) / depth)


def _cosines(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of all pairs of different rows; a row is no neighbour of itself."""
    units = unit_rows(x)
    cosines = units @ units.T
    np.fill_diagonal(cosines, -np.inf)
    return cosines


def unit_rows(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rows of (n, d) scaled to a norm of 1; rows of zeros stay."""
    wide = x.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    units = np.divide(wide, norms, out=np.zeros_like(wide), where=norms > 0)
    return np.asarray(units, dtype=np.float64)
