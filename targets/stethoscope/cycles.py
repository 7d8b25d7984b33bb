"""Cycles: from instructions that an emulator counted to a range of milliseconds on a core.

An emulator knows no caches, wait states and pipelines. A band is latency x clock of published runs of keyword
spotting (MLPerf Tiny, mlcommons.org/benchmarks/inference-tiny) over our count of the same network's
instructions. It is as wide as boards and memories differ. For Cortex-M55 there is no such run, so no time is
stated. No source at hand gives energy, so none is stated.
"""

from __future__ import annotations

from dataclasses import dataclass

LABEL = "estimated from instruction counts"
CLOCK_HZ = 64e6  # of the estimates, where no other clock is asked for


@dataclass(frozen=True)
class Band:
    """Cycles for each instruction, least and most."""

    low: float
    high: float


BANDS: dict[str, Band] = {
    "m4": Band(1.17, 1.52),
    "m7": Band(0.55, 0.80),
    "m33": Band(1.25, 1.25),  # one published run
}


@dataclass(frozen=True)
class Estimate:
    """A range: milliseconds of one hop, and percent of the time that sound keeps the core busy."""

    clock_hz: float
    band: Band
    hop_ms: tuple[float, float]
    busy_percent: tuple[float, float]


def estimate(core: str, instructions: int, hop_seconds: float, clock_hz: float = CLOCK_HZ) -> Estimate | None:
    """Of `instructions` every `hop_seconds` on a core by its name; None where no band is published."""
    band = BANDS.get(core)
    if band is None:
        return None
    low, high = (1e3 * instructions * cycles / clock_hz for cycles in (band.low, band.high))
    return Estimate(clock_hz, band, (low, high), (low / hop_seconds / 10, high / hop_seconds / 10))
