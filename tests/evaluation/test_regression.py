"""Regression against scikit-learn, which fits every model anew."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.preprocessing import StandardScaler

from acula_edge.errors import DataError
from acula_edge.evaluation.regression import leave_one_out

Floats = NDArray[np.float64]
STRENGTHS = (0.1, 3.0, 50.0, 1000.0)


def _data(n: int, dim: int, patients: int, seed: int = 0) -> tuple[Floats, Floats, list[str]]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, dim)) * rng.uniform(0.1, 10, size=dim)
    x[:, -1] = 4.0  # a feature that never changes
    y = 40 + 3 * x[:, 0] / x[:, 0].std() + rng.normal(size=n)
    return x, y, [f"p{i}" for i in rng.integers(0, patients, size=n)]


@pytest.mark.parametrize(("n", "dim"), [(60, 8), (40, 120)])
@pytest.mark.parametrize("strength", [0.01, 5.0])
def test_predictions_are_those_of_refitting_without_each_patient(n: int, dim: int, strength: float) -> None:
    x, y, groups = _data(n, dim, patients=9)
    scaled = StandardScaler().fit_transform(x)
    expected = cross_val_predict(Ridge(alpha=strength), scaled, y, groups=groups, cv=LeaveOneGroupOut())
    score = leave_one_out(x, y, groups, [strength])
    assert np.abs(score.predictions - expected).max() < 1e-8
    assert score.mae == pytest.approx(np.abs(y - expected).mean())


def test_the_strength_is_chosen_by_leaving_out_one_more_patient() -> None:
    x, y, groups = _data(45, 30, patients=7, seed=6)
    scaled, names = StandardScaler().fit_transform(x), np.array(groups)
    score, used = leave_one_out(x, y, groups, STRENGTHS), set()
    for name in np.unique(names):
        rest = names != name
        errors = []
        for strength in STRENGTHS:
            inner = cross_val_predict(
                Ridge(alpha=strength), scaled[rest], y[rest], groups=names[rest], cv=LeaveOneGroupOut()
            )
            errors.append(np.abs(inner - y[rest]).mean())
        strength = STRENGTHS[int(np.argmin(errors))]
        expected = Ridge(alpha=strength).fit(scaled[rest], y[rest]).predict(scaled[~rest])
        assert np.abs(score.predictions[~rest] - expected).max() < 1e-8
        used.add(strength)
    assert len(used) > 1  # else the choice was never put to the test


def test_a_patients_own_values_do_not_reach_its_prediction() -> None:
    x, y, groups = _data(45, 30, patients=7, seed=3)
    own = np.array(groups) == "p2"
    before = leave_one_out(x, y, groups, STRENGTHS).predictions
    after = leave_one_out(x, np.where(own, y + 1e3, y), groups, STRENGTHS).predictions
    assert np.abs(before[own] - after[own]).max() < 1e-6
    assert np.abs(before[~own] - after[~own]).max() > 1


def test_the_baseline_is_the_mean_of_the_other_patients() -> None:
    score = leave_one_out(np.zeros((4, 2)), np.array([1.0, 2.0, 6.0, 9.0]), ["a", "a", "b", "c"], [1.0])
    # others of a: 7.5; of b: 4; of c: 3
    assert score.baseline_mae == pytest.approx((6.5 + 5.5 + 2 + 6) / 4)
    assert score.predictions == pytest.approx([7.5, 7.5, 4, 3])  # features that say nothing add nothing
    assert score.mae == pytest.approx(score.baseline_mae)


def test_two_patients_are_too_few() -> None:
    with pytest.raises(DataError, match="at least 3 patients, and there are 2"):
        leave_one_out(np.zeros((3, 2)), np.zeros(3), ["a", "a", "b"], [1.0])
