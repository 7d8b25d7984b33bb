"""Jackknife: intervals of figures that a bootstrap would bend.

A resample with replacement holds some recordings twice: that lowers an effective rank, raises a CKA and
gives a search two right answers. Leaving patients out does none of this. Delete-a-group jackknife:
Efron and Tibshirani (1993), chapter 11; Kott (2001).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from acula_edge.evidence.results import Estimate

Floats = NDArray[np.float64]

PARTS = 20
_NORMAL = 1.96  # standard errors on each side, for 95 %
_FEWEST = 2


def jackknife(
    statistic: Callable[[NDArray[np.int64]], Floats], units: Sequence[str], seed: int
) -> list[Estimate]:
    """Each figure of `statistic(rows)` with its 95 % interval; `units` names the patient of each row.

    Patients are dealt at random into 20 parts (as many as there are patients, if fewer), each left out
    once. There are no intervals for fewer than two patients.
    """
    names, unit_of_row = np.unique(np.asarray(units), return_inverse=True)
    whole = statistic(np.arange(len(units)))
    parts = min(PARTS, names.size)
    if parts < _FEWEST:
        return [Estimate(value=float(value), low=None, high=None, degenerate=0) for value in whole]
    dealt = np.random.default_rng(seed).permutation(names.size) % parts
    left = np.stack([statistic(np.flatnonzero(dealt[unit_of_row] != part)) for part in range(parts)])
    error = np.sqrt((parts - 1) / parts * ((left - left.mean(axis=0)) ** 2).sum(axis=0))
    return [_estimate(value, half) for value, half in zip(whole, _NORMAL * error, strict=True)]


def _estimate(value: float, half: float) -> Estimate:
    return Estimate(value=float(value), low=float(value - half), high=float(value + half), degenerate=0)
