"""Candidate: one way to quantise, and the order in which tuning tries them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from acula_edge.errors import UsageError
from quantize.calibration import CalibrationConfig
from quantize.qat_config import QatConfig
from quantize.ranges import Observer
from quantize.scheme import SchemeConfig
from quantize.tuning_config import TuningConfig


@dataclass(frozen=True)
class Candidate:
    """What is tuned; the first `float_layers` of the order of fragility stay float."""

    observer: Observer
    symmetric: bool = False
    per_channel: bool = True
    float_layers: int = 0
    qat: bool = False

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)

    def scheme(self, base: SchemeConfig, order: Sequence[str]) -> SchemeConfig:
        """`base` with this candidate's choices; what it keeps in float stays so."""
        kept = dict.fromkeys((*base.float_modules, *order[: self.float_layers]))
        return base.model_copy(
            update={
                "symmetric": self.symmetric,
                "per_channel": self.per_channel,
                "float_modules": tuple(kept),
                "qat": (base.qat or QatConfig()) if self.qat else None,
            }
        )

    def calibration(self, base: CalibrationConfig) -> CalibrationConfig:
        """`base` with this candidate's observer."""
        return base.model_copy(update={"observer": self.observer})


def candidates(
    scheme: SchemeConfig, calibration: CalibrationConfig, config: TuningConfig, layers: int
) -> list[Candidate]:
    """From what is asked for to what costs more: observers, grids, layers in float, training.

    `layers` is how many could stay float. The first is the one that would be made without tuning; what
    `scheme` can not be combined with is left out.
    """
    first = Candidate(calibration.observer, scheme.symmetric, scheme.per_channel, 0, scheme.qat is not None)
    ladder = dict.fromkeys(_ladder(first, config, layers))
    return [candidate for candidate in ladder if _is_possible(candidate, scheme)][: config.trials]


def _is_possible(candidate: Candidate, scheme: SchemeConfig) -> bool:
    try:
        SchemeConfig.model_validate(candidate.scheme(scheme, ()).model_dump())
    except UsageError:
        return False
    return True


def _ladder(first: Candidate, config: TuningConfig, layers: int) -> Iterator[Candidate]:
    yield first
    plain = replace(first, qat=False)
    yield from (replace(plain, observer=observer) for observer in Observer)
    yield replace(plain, symmetric=not first.symmetric)
    kept = [count for count in (1, 2, 4, 8, 16) if count <= min(config.max_float_layers, layers)]
    yield from (replace(plain, float_layers=count) for count in kept)
    if config.qat:
        yield replace(plain, qat=True)
        yield from (replace(plain, qat=True, float_layers=count) for count in kept)
    yield replace(plain, per_channel=not first.per_channel)
