"""Calibration: which observer chooses the ranges, and what it leaves outside, tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from quantize.ranges import Observer, Range, estimate
from quantize.statistics import Statistics

_QUANTILES = (0.001, 0.01, 0.5, 0.99, 0.999)


class Choice(StrEnum):
    """How the calibration clips are chosen from the training recordings.

    SPREAD: data sets and classes take turns, else at random. FURTHEST: each clip is the one that lies
    furthest from those before it, by the teacher's embedding (Gonzalez, "Clustering to minimize the
    maximum intercluster distance", 1985). KMEANS: the clips nearest to the centres of as many clusters.
    """

    SPREAD = "spread"
    FURTHEST = "furthest"
    KMEANS = "kmeans"


class CalibrationConfig(BaseModel):
    """Clips and observer of the activations' ranges; `percentile` is for the observer of that name alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    choice: Choice = Choice.SPREAD
    observer: Observer = Observer.MIN_MAX
    percentile: float = Field(default=99.99, gt=50, le=100)

    def ranges(self, seen: Mapping[str, Statistics], symmetric: bool) -> dict[str, Range]:
        """The range of each tensor; with `symmetric`, zero in the middle."""
        cuts = {name: estimate(self.observer, held, self.percentile) for name, held in seen.items()}
        return {name: cut.symmetric for name, cut in cuts.items()} if symmetric else cuts


def outliers(seen: Mapping[str, Statistics], ranges: Mapping[str, Range]) -> list[dict[str, Any]]:
    """For each tensor what it held over the calibration clips, its range, and the share of values outside."""
    return [
        {
            "tensor": name,
            "min": held.low,
            "max": held.high,
            "quantiles": {str(share): held.quantile(share) for share in _QUANTILES},
            "low": ranges[name].low,
            "high": ranges[name].high,
            "outside": held.outside(ranges[name].low, ranges[name].high),
        }
        for name, held in seen.items()
    ]
