"""Prepared: a network with the grids of its sites, ready to become the files of every runtime."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from acula_edge.students.student import Student
from quantize.calibration import CalibrationConfig, outliers
from quantize.ranges import Range
from quantize.scheme import SchemeConfig
from quantize.sites import Site, observe


@dataclass(frozen=True)
class Prepared:
    """`network` has heard `features` (n, 1, n_mels, n_frames): what its `sites` held, and their `ranges`."""

    network: Student
    features: Tensor
    scheme: SchemeConfig
    sites: dict[str, Site]
    ranges: dict[str, Range]

    @classmethod
    def of(
        cls, network: Student, features: Tensor, scheme: SchemeConfig, calibration: CalibrationConfig
    ) -> Prepared:
        """With ranges by the observer of `calibration`."""
        sites = observe(network, features)
        seen = {name: site.statistics for name, site in sites.items()}
        return cls(network, features, scheme, sites, calibration.ranges(seen, scheme.symmetric))

    def retrained(self, network: Student) -> Prepared:
        """The same grids for other weights, which were trained on them."""
        return replace(self, network=network, sites=observe(network, self.features))

    @property
    def outliers(self) -> list[dict[str, Any]]:
        """What each tensor held, its range, and the share of values outside it."""
        return outliers({name: site.statistics for name, site in self.sites.items()}, self.ranges)
