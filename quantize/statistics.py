"""Statistics: what is kept of all the values that a tensor took, whatever their number."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

SIDE = 4096  # bins on each side of zero: at least eight for each of the 256 steps of a grid


class Statistics:
    """Smallest and largest value, exact, and a histogram.

    Bin i of 2 x SIDE covers [(i - SIDE) width, (i - SIDE + 1) width). The width is a power of two and grows
    with the largest value, bins merging in pairs, so that neither order nor batches of the values matter.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(2 * SIDE, dtype=np.int64)
        self.width = 0.0
        self.low, self.high = math.inf, -math.inf

    def add(self, values: Floats) -> None:
        """Count values of any shape. Raises ValueError if one is not finite."""
        flat = values.ravel()
        if flat.size == 0:
            return
        low, high = float(flat.min()), float(flat.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError("an activation is not finite")
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._widen(max(abs(low), abs(high)))
        places = np.floor(flat * np.float32(1 / self.width)).astype(np.int64) + SIDE
        self.counts += np.bincount(np.clip(places, 0, 2 * SIDE - 1), minlength=2 * SIDE)

    @property
    def centres(self) -> NDArray[np.float64]:
        """The middle of each bin (2 SIDE,), inside what was seen."""
        middle = (np.arange(-SIDE, SIDE) + 0.5) * self.width
        return np.asarray(np.clip(middle, self.low, self.high), dtype=np.float64)

    def quantile(self, share: float) -> float:
        """The value below which `share` of all values lie, to a bin's width."""
        reached = np.cumsum(self.counts)
        wanted = share * reached[-1]
        place = int(np.searchsorted(reached, max(wanted, 1)))  # share 0 is the first value
        inside = 1 - (reached[place] - wanted) / self.counts[place]
        found = float((place - SIDE + inside) * self.width)
        return min(max(found, self.low), self.high)

    def outside(self, low: float, high: float) -> float:
        """Share of the values outside [low, high], to a bin's width."""
        centres = self.centres
        beyond = (centres < low) | (centres > high)
        return float(self.counts[beyond].sum() / max(1, self.counts.sum()))

    def _widen(self, largest: float) -> None:
        needed = 2.0 ** math.ceil(math.log2(max(largest, 2.0**-40))) / SIDE
        if self.width == 0.0:
            self.width = needed
        while self.width < needed:
            merged = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.concatenate(
                [np.zeros(SIDE // 2, np.int64), merged, np.zeros(SIDE // 2, np.int64)]
            )
            self.width *= 2
