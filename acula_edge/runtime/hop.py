"""Hop: two neighbouring forms of a model compared layer by layer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Difference:
    """One layer of a hop: how far it is off, in what, and how far it may be."""

    layer: str
    measure: str
    value: float
    bound: float

    @property
    def passed(self) -> bool:
        """Whether it keeps the bound; NaN does not."""
        return self.value <= self.bound

    @property
    def share(self) -> float:
        """The part of the bound that is used up; that of a bound of 0 is 0 or infinite."""
        return self.value / self.bound if self.bound else float(np.inf if self.value else 0)


@dataclass(frozen=True)
class Hop:
    """From one form of the model to the next; `reason` is why it could not be compared at all."""

    name: str
    layers: tuple[Difference, ...]
    reason: str = ""

    @property
    def culprit(self) -> Difference | None:
        """The first layer that misses its bound."""
        return next((layer for layer in self.layers if not layer.passed), None)

    @property
    def passed(self) -> bool:
        """Whether it was compared and every layer keeps its bound."""
        return not self.reason and self.culprit is None

    @property
    def shown(self) -> Difference | None:
        """The culprit or, of a sound hop, the layer nearest to its bound."""
        return self.culprit or max(self.layers, key=lambda layer: layer.share, default=None)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        culprit = self.culprit
        return {
            "hop": self.name,
            "passed": self.passed,
            "first": culprit.layer if culprit else None,
            "reason": self.reason,
            "layers": [{**asdict(layer), "passed": layer.passed} for layer in self.layers],
        }
