"""Observers against other implementations on the raw values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from quantize.ranges import Observer, Range, estimate
from quantize.statistics import Statistics

RNG = np.random.default_rng(0)
HEAVY = np.concatenate([RNG.normal(size=60_000), RNG.normal(size=60) * 30]).astype(np.float32)
RELU6 = np.clip(RNG.normal(size=80_000) * 1.2, 0, 6).astype(np.float32)
VALUES = {"heavy tails": HEAVY, "ReLU6": RELU6, "negative": -np.abs(HEAVY) - 1}
each_kind = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)


def _range(observer: Observer, values: np.ndarray, percentile: float = 99.9) -> Range:
    statistics = Statistics()
    statistics.add(values)
    return estimate(observer, statistics, percentile)


@each_kind
def test_min_max_holds_all_and_zero(values: np.ndarray) -> None:
    found = _range(Observer.MIN_MAX, values)
    assert found == Range(min(float(values.min()), 0.0), max(float(values.max()), 0.0))


@each_kind
def test_percentile_is_numpys(values: np.ndarray) -> None:
    found = _range(Observer.PERCENTILE, values, 99.5)
    low, high = np.percentile(values, [0.5, 99.5])
    assert found.low == pytest.approx(min(low, 0), abs=0.03)
    assert found.high == pytest.approx(max(high, 0), abs=0.03)


@each_kind
def test_the_grid_is_torchs(values: np.ndarray) -> None:
    cut = Range.around_zero(float(np.quantile(values, 0.01)), float(np.quantile(values, 0.98)))
    scale = (cut.high - cut.low) / 255
    zero = int(np.rint(-128 - cut.low / scale))
    expected = torch.fake_quantize_per_tensor_affine(
        torch.from_numpy(values).double(), scale, zero, -128, 127
    )
    np.testing.assert_allclose(cut.rounded(values.astype(np.float64)), expected.numpy(), atol=scale * 1.01)
    assert np.mean(np.abs(cut.rounded(values.astype(np.float64)) - expected.numpy()) > 1e-6) < 0.01


@each_kind
def test_mse_has_the_least_error_on_the_raw_values(values: np.ndarray) -> None:
    wide = values.astype(np.float64)
    whole = _range(Observer.MIN_MAX, values)

    def error(cut: Range) -> float:
        return float(np.mean((wide - cut.rounded(wide)) ** 2))

    found = error(_range(Observer.MSE, values))
    assert found <= 1.02 * min(error(whole.scaled(share)) for share in np.linspace(0.3, 1, 71))


def test_mse_cuts_tails_and_keeps_what_has_none() -> None:
    lonely = np.append(RNG.normal(size=60_000), 12).astype(np.float32)
    assert _range(Observer.MSE, lonely).high < 11
    flat = RNG.uniform(-1, 1, size=50_000).astype(np.float32)
    assert _range(Observer.MSE, flat).high == pytest.approx(1.0, abs=0.02)


def test_kl_has_the_least_divergence_of_a_plain_histogram() -> None:
    whole = _range(Observer.MIN_MAX, HEAVY)
    counts, edges = np.histogram(HEAVY, bins=np.arange(-8192, 8193) * (32 * 2.0**2 / 16384))
    centres = (edges[1:] + edges[:-1]) / 2

    def divergence(cut: Range) -> float:
        inside = (centres >= cut.low) & (centres <= cut.high) & (counts > 0)
        p = counts[inside].astype(float)
        p[0] += counts[centres < cut.low].sum()
        p[-1] += counts[centres > cut.high].sum()
        q = np.zeros_like(p)
        level = cut.rounded(centres[inside])
        for one in np.unique(level):
            q[level == one] = counts[inside][level == one].mean()
        return float(entropy(p, q))

    found = divergence(_range(Observer.KL, HEAVY))
    shares = np.linspace(0.3, 1, 36)
    assert found <= 1.1 * min(divergence(whole.scaled(float(share))) for share in shares)


def test_kl_does_not_cut_a_relu6_for_its_zeros() -> None:
    # Zeros are exact on every grid: half of the values there say nothing of how to cut the rest.
    sparse = np.where(RNG.random(RELU6.size) < 0.9, 0, RELU6).astype(np.float32)
    assert _range(Observer.KL, sparse).high > 0.7 * sparse.max()


@pytest.mark.parametrize("observer", Observer)
def test_a_constant_tensor_has_a_range(observer: Observer) -> None:
    for value in (0.0, 2.0, -3.0):
        found = _range(observer, np.full(100, value, np.float32))
        assert found.low <= 0 <= found.high
        assert np.isfinite(found.rounded(np.array([value]))).all()


def test_nothing_seen_is_refused() -> None:
    with pytest.raises(ValueError, match="no value"):
        estimate(Observer.MIN_MAX, Statistics(), 99)


def test_a_symmetric_range_has_zero_in_the_middle() -> None:
    assert Range(-1.0, 3.0).symmetric == Range(-3.0, 3.0)
    assert Range(-4.0, 3.0).symmetric == Range(-4.0, 4.0)
