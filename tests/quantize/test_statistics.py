"""Statistics of streamed values, against numpy on all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantize.statistics import SIDE, Statistics

batches = st.lists(
    st.tuples(st.integers(1, 40), st.floats(1e-3, 1e3), st.floats(-2, 2), st.integers(0, 2**16)),
    min_size=1,
    max_size=4,
)


def _batches(shapes: list[tuple[int, float, float, int]]) -> list[np.ndarray]:
    return [
        (np.random.default_rng(seed).normal(size=n) * scale + shift).astype(np.float32)
        for n, scale, shift, seed in shapes
    ]


def _heard(parts: list[np.ndarray]) -> Statistics:
    statistics = Statistics()
    for part in parts:
        statistics.add(part)
    return statistics


@given(batches)
def test_the_order_and_the_batches_do_not_matter(shapes: list[tuple[int, float, float, int]]) -> None:
    parts = _batches(shapes)
    one, other = _heard(parts), _heard([np.concatenate(parts[::-1])])
    np.testing.assert_array_equal(one.counts, other.counts)
    assert (one.width, one.low, one.high) == (other.width, other.low, other.high)


@given(batches, st.floats(0, 1))
def test_extremes_are_exact_and_quantiles_lie_within_a_bin(
    shapes: list[tuple[int, float, float, int]], share: float
) -> None:
    parts = _batches(shapes)
    values, statistics = np.concatenate(parts), _heard(parts)
    assert statistics.counts.sum() == values.size
    assert (statistics.low, statistics.high) == (values.min(), values.max())
    place = share * values.size
    ordered = np.sort(values)
    nearby = statistics.width + 1e-5 * np.abs(values).max()
    assert statistics.quantile(share) >= ordered[max(0, int(np.ceil(place)) - 1)] - nearby
    assert statistics.quantile(share) <= ordered[min(values.size - 1, int(np.floor(place)))] + nearby


def test_the_share_outside_is_numpys() -> None:
    values = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    statistics = _heard([values])
    expected = np.mean((values < -1.5) | (values > 2.0))
    assert statistics.outside(-1.5, 2.0) == pytest.approx(expected, abs=2e-3)
    assert statistics.outside(statistics.low, statistics.high) == 0.0


def test_a_power_of_two_and_a_tensor_of_zeros_find_a_bin() -> None:
    statistics = _heard([np.array([-4.0, 0.0, 4.0], np.float32)])
    assert statistics.width == 4.0 / SIDE
    assert statistics.counts[0] == statistics.counts[SIDE] == statistics.counts[-1] == 1
    assert _heard([np.zeros(5, np.float32)]).quantile(0.5) == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        Statistics().add(np.array([1.0, bad], np.float32))
