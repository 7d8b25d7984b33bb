"""Milliseconds from instructions: a range, at a clock, and only for cores with a published run."""

from __future__ import annotations

import pytest

from targets.stethoscope.cores import CORES
from targets.stethoscope.cycles import BANDS, estimate


def test_a_range_by_hand() -> None:
    """10 million instructions every 0.5 s at 100 MHz, 1.17 to 1.52 cycles each."""
    found = estimate("m4", 10_000_000, 0.5, 100e6)
    assert found is not None
    assert found.hop_ms == pytest.approx((117.0, 152.0))
    assert found.busy_percent == pytest.approx((23.4, 30.4))


def test_no_time_is_stated_without_a_published_run() -> None:
    assert estimate("m55", 1, 1.0) is None
    assert set(BANDS) == set(CORES) - {"m55"}
    assert all(0 < band.low <= band.high for band in BANDS.values())
