"""Student families: one shape for each class of device, one file each."""

from __future__ import annotations

from dataclasses import dataclass

from acula_edge.errors import UsageError
from acula_edge.students.config import StudentConfig
from acula_edge.students.families.attention import ATTENTION
from acula_edge.students.families.base import BASE
from acula_edge.students.families.large import LARGE
from acula_edge.students.families.small import SMALL
from acula_edge.students.families.tiny import TINY
from acula_edge.students.plan import Plan


@dataclass(frozen=True)
class Family:
    """A shape, the device that it is for, and what it may not exceed there (None: no bound)."""

    config: StudentConfig
    device: str
    max_parameters: int | None = None
    max_activation_bytes: int | None = None

    def exceeds(self, plan: Plan) -> list[str]:
        """A clause for each of the family's own bounds that `plan` breaks."""
        bounds = (
            ("parameters", plan.parameters, self.max_parameters),
            ("bytes of activations", plan.peak_activation_bytes, self.max_activation_bytes),
        )
        return [
            f"{needed} {what}, the family's bound {most}"
            for what, needed, most in bounds
            if most and needed > most
        ]


def _streaming(family: Family) -> Family:
    return Family(
        family.config.model_copy(update={"causal": True}),
        f"{family.device}, hop by hop",
        family.max_parameters,
        family.max_activation_bytes,
    )


_OFFLINE = {
    "tiny": Family(TINY, "Cortex-M4", 40_000, 64 * 1024),
    "small": Family(SMALL, "Cortex-M7 or M33", 120_000),
    "base": Family(BASE, "phone", 1_000_000),
    "attention": Family(ATTENTION, "phone", 1_000_000),
    "large": Family(LARGE, "fast phone", 5_000_000),
}

FAMILIES: dict[str, Family] = _OFFLINE | {
    f"{name}-streaming": _streaming(_OFFLINE[name]) for name in ("tiny", "base", "large")
}


def family(name: str) -> Family:
    """The family of that name. Raises UsageError naming the families there are."""
    if name not in FAMILIES:
        raise UsageError(f"unknown student family {name!r}; choose one of: {', '.join(FAMILIES)}")
    return FAMILIES[name]
