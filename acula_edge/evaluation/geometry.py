"""Geometry of representations: has an encoder collapsed, and how much do two of them agree?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
    """Linear CKA of two representations (n, p), (n, q) of the same recordings, in [0, 1]."""
    import torch

    from acula_edge.teacher.losses import cka_loss

    first, second = (torch.from_numpy(part.astype(np.float64)) for part in (x, y))
    return 1.0 - float(cka_loss(first, second))


def unit_rows(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rows of (n, d) scaled to a norm of 1; rows of zeros stay."""
    wide = x.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    units = np.divide(wide, norms, out=np.zeros_like(wide), where=norms > 0)
    return np.asarray(units, dtype=np.float64)
