"""The jackknife against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from acula_edge.evidence.jackknife import PARTS, jackknife


def test_of_a_mean_it_is_the_standard_error() -> None:
    """Leaving out one of n equal parts at a time gives s / sqrt(n) exactly (Efron and Tibshirani, 11.2)."""
    values = np.random.default_rng(0).normal(3.0, 2.0, PARTS)
    (found,) = jackknife(
        lambda rows: np.array([values[rows].mean()]), [f"p{i}" for i in range(PARTS)], seed=1
    )
    half = 1.96 * values.std(ddof=1) / np.sqrt(PARTS)
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half))


def test_a_patient_is_left_out_whole() -> None:
    units = ["a", "b", "a", "c", "b", "a"]
    seen = []

    def statistic(rows: np.ndarray) -> np.ndarray:
        seen.append({units[row] for row in rows})
        return np.array([float(len(rows))])

    jackknife(statistic, units, seed=0)
    whole, *left = seen
    assert whole == {"a", "b", "c"}
    assert sorted(map(sorted, left)) == [["a", "b"], ["a", "c"], ["b", "c"]]


def test_a_copy_of_every_recording_narrows_nothing() -> None:
    values = np.random.default_rng(2).normal(size=40)
    (once,) = jackknife(lambda rows: np.array([values[rows].mean()]), [str(i) for i in range(40)], seed=3)
    (twice,) = jackknife(
        lambda rows: np.array([values[rows % 40].mean()]), [str(i % 40) for i in range(80)], seed=3
    )
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))


def test_one_patient_gives_no_interval() -> None:
    (found,) = jackknife(lambda rows: np.array([float(rows.sum())]), ["a", "a"], seed=0)
    assert (found.value, found.low, found.high) == (1.0, None, None)
