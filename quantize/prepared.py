"""Prepared: a network with the grids of its sites, ready to become the files of every runtime."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor

from acula_edge.checkpoint import EpochRecord
from acula_edge.students.student import Student
from quantize.calibration import CalibrationConfig, outliers
from quantize.ranges import Range
from quantize.scheme import SchemeConfig
from quantize.sites import Site, observe


@dataclass(frozen=True)
class Retraining:
    """What QAT did: the outputs' relative error on validation clips before and after, and each epoch."""

    error_before: float
    error_after: float
    history: tuple[EpochRecord, ...]

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Prepared:
    """`network` has heard `features` (n, 1, n_mels, n_frames): what its `sites` held, and their `ranges`.

    `training` tells of QAT, if `network` went through it.
    """

    network: Student
    features: Tensor
    scheme: SchemeConfig
    sites: dict[str, Site]
    ranges: dict[str, Range]
    training: Retraining | None = None

    @classmethod
    def of(
        cls, network: Student, features: Tensor, scheme: SchemeConfig, calibration: CalibrationConfig
    ) -> Prepared:
        """With ranges by the observer of `calibration`."""
        return cls(network, features, scheme, observe(network, features), {}).regrid(scheme, calibration)

    def regrid(self, scheme: SchemeConfig, calibration: CalibrationConfig) -> Prepared:
        """The same network under another scheme, with ranges from the statistics that it has."""
        seen = {name: site.statistics for name, site in self.sites.items()}
        return replace(self, scheme=scheme, ranges=calibration.ranges(seen, scheme.symmetric))

    def retrained(self, network: Student, training: Retraining) -> Prepared:
        """The same grids for other weights, which were trained on them."""
        sites = observe(network, self.features)
        return replace(self, network=network, sites=sites, training=training)

    @property
    def outliers(self) -> list[dict[str, Any]]:
        """What each tensor held, its range, and the share of values outside it."""
        return outliers({name: site.statistics for name, site in self.sites.items()}, self.ranges)
