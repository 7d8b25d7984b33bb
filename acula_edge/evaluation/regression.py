"""Regression: a number (an age, a rate) from frozen embeddings, each patient predicted from the others.

Ridge is linear in its targets, fitted = H y. With e = (I - H) y, the errors on rows S of the model that
never saw them are (I - H)_SS^-1 e_S (Cook and Weisberg, "Residuals and influence in regression", 1982,
section 2.2, for blocks of rows): one decomposition serves every patient and every strength.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import DataError

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class RegressionScore:
    """Mean absolute errors in the target's unit, and the predictions (n,) from the other groups.

    The baseline predicts the mean of the other groups' recordings.
    """

    mae: float
    baseline_mae: float
    predictions: Floats


def leave_one_out(
    x: NDArray[np.floating], y: NDArray[np.floating], groups: Sequence[str], strengths: Sequence[float]
) -> RegressionScore:
    """Ridge on embeddings (n, D), scaled to unit variance, leaving out one group (patient) at a time.

    `strengths` are penalties > 0 (scikit-learn's alpha). The one for a group is that with the least mean
    absolute error when each of the other groups is left out in turn, the group itself always left out
    too. The scale of the features is taken over all recordings; no target is seen. DataError if there
    are fewer than three groups.
    """
    members = [np.flatnonzero(np.array(groups) == name) for name in dict.fromkeys(groups)]
    if len(members) < 3:
        raise DataError(
            f"A regression needs at least 3 patients, and there are {len(members)}; add recordings."
        )
    targets = y.astype(np.float64)
    residuals = [_residual_maker(x, strength) for strength in strengths]
    outer = np.array([_outer_errors(maker, targets, members) for maker in residuals])
    chosen = _chosen(residuals, targets, members)
    errors = outer[chosen, np.arange(len(targets))]
    baseline = _outer_errors(np.eye(len(targets)) - 1 / len(targets), targets, members)
    return RegressionScore(float(np.abs(errors).mean()), float(np.abs(baseline).mean()), targets - errors)


def _residual_maker(x: NDArray[np.floating], strength: float) -> Floats:
    """I - H (n, n) of ridge with an unpenalised intercept."""
    wide = x.astype(np.float64)
    spread = wide.std(axis=0)
    scaled = (wide - wide.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    values, vectors = np.linalg.eigh(scaled @ scaled.T)
    kept = (vectors * (strength / (values.clip(min=0) + strength))) @ vectors.T
    return np.asarray(kept - 1 / len(x), dtype=np.float64)


def _outer_errors(maker: Floats, y: Floats, members: Sequence[Rows]) -> Floats:
    """y less its prediction (n,), each group predicted from all others."""
    plain, errors = maker @ y, np.empty_like(y)
    for rows in members:
        errors[rows] = np.linalg.solve(maker[np.ix_(rows, rows)], plain[rows])
    return errors


def _chosen(makers: Sequence[Floats], y: Floats, members: Sequence[Rows]) -> Rows:
    """For each recording the index of its group's strength (n,)."""
    inner = np.array([_inner_errors(maker, y, members) for maker in makers])
    best = inner.argmin(axis=0)
    chosen = np.empty(len(y), dtype=np.intp)
    for group, rows in enumerate(members):
        chosen[rows] = best[group]
    return chosen


def _inner_errors(maker: Floats, y: Floats, members: Sequence[Rows]) -> Floats:
    """For each group the summed absolute error on the others (groups,), each left out along with it."""
    plain, sums = maker @ y, np.zeros(len(members))
    for first, second in combinations(range(len(members)), 2):
        rows = np.concatenate([members[first], members[second]])
        errors = np.abs(np.linalg.solve(maker[np.ix_(rows, rows)], plain[rows]))
        size = len(members[first])
        sums[second] += errors[:size].sum()
        sums[first] += errors[size:].sum()
    return sums
