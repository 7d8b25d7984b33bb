"""Ranges: from what a tensor's values were to the range that its 256 steps cover.

One implementation for both runtimes, so that their graphs lie on the same grids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from quantize.statistics import SIDE, Statistics

_LEVELS = 256
_SHARES = np.linspace(1.0, 0.3, 141)  # of the whole range, tried from all of it downwards


class Observer(StrEnum):
    """How a range is chosen.

    MIN_MAX: all that was seen. PERCENTILE: without the outermost values. MSE: the least squared error of
    rounding and clipping. KL: the distribution that loses least information (Migacz, "8-bit inference
    with TensorRT", GTC 2017).
    """

    MIN_MAX = "min-max"
    PERCENTILE = "percentile"
    MSE = "mse"
    KL = "kl"


@dataclass(frozen=True)
class Range:
    """low <= 0 <= high: zero always lies on the grid, for padding and ReLU."""

    low: float
    high: float

    @classmethod
    def around_zero(cls, low: float, high: float) -> Range:
        """The smallest range with low, high and zero in it."""
        return cls(min(low, 0.0), max(high, 0.0))

    @property
    def symmetric(self) -> Range:
        """Zero in the middle."""
        reach = max(-self.low, self.high)
        return Range(-reach, reach)

    def scaled(self, share: float) -> Range:
        """Both ends moved towards zero."""
        return Range(self.low * share, self.high * share)

    def rounded(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values on the grid of 256 steps: real = scale (q - zero point), q clipped to INT8's range."""
        scale = (self.high - self.low) / (_LEVELS - 1) or 1.0
        zero = np.rint(-self.low / scale)
        return np.asarray(scale * (np.clip(np.rint(values / scale) + zero, 0, _LEVELS - 1) - zero))


def estimate(observer: Observer, statistics: Statistics, percentile: float) -> Range:
    """The range by one observer; `percentile`, 50 to 100, is for PERCENTILE alone.

    Raises ValueError if nothing was seen.
    """
    if not statistics.counts.any():
        raise ValueError("no value was seen")
    return _OBSERVERS[observer](statistics, percentile)


def _min_max(statistics: Statistics, _percentile: float) -> Range:
    return Range.around_zero(statistics.low, statistics.high)


def _percentile(statistics: Statistics, percentile: float) -> Range:
    share = percentile / 100
    return Range.around_zero(statistics.quantile(1 - share), statistics.quantile(share))


def _mse(statistics: Statistics, _percentile: float) -> Range:
    used = statistics.counts > 0
    values, weights = statistics.centres[used], statistics.counts[used]
    whole = Range.around_zero(statistics.low, statistics.high)
    return _best(whole, lambda cut: float(weights @ (values - cut.rounded(values)) ** 2))


def _kl(statistics: Statistics, _percentile: float) -> Range:
    counts = statistics.counts.astype(np.float64)
    # Zero lies on every grid, and ReLU6 makes many: in one bin with its neighbours it would tell of a loss
    # that there is not. As in NVIDIA's pytorch-quantization (calib/histogram.py).
    counts[SIDE] = counts[SIDE + 1]
    used = counts > 0
    values, weights = statistics.centres[used], counts[used]
    whole = Range.around_zero(statistics.low, statistics.high)
    return _best(whole, lambda cut: _divergence(values, weights, cut))


def _divergence(values: NDArray[np.float64], weights: NDArray[np.float64], cut: Range) -> float:
    """KL(P || Q) over the bins in the cut: P with what lies outside in its outermost bins, Q each level's
    mass spread evenly over the bins that round to it."""
    inside = (values >= cut.low) & (values <= cut.high)
    if not inside.any():
        return np.inf
    kept, reference = values[inside], weights[inside].copy()
    reference[0] += weights[values < cut.low].sum()
    reference[-1] += weights[values > cut.high].sum()
    _, level, bins = np.unique(cut.rounded(kept), return_inverse=True, return_counts=True)
    model = (np.bincount(level, weights[inside]) / bins)[level]
    p, q = reference / reference.sum(), model / model.sum()
    return float((p * np.log(p / q)).sum())


def _best(whole: Range, loss: Callable[[Range], float]) -> Range:
    """The cut with the least loss; of equals, the widest."""
    losses = [loss(whole.scaled(share)) for share in _SHARES]
    return whole.scaled(float(_SHARES[int(np.argmin(losses))]))


_OBSERVERS: Mapping[Observer, Callable[[Statistics, float], Range]] = {
    Observer.MIN_MAX: _min_max,
    Observer.PERCENTILE: _percentile,
    Observer.MSE: _mse,
    Observer.KL: _kl,
}
