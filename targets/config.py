"""TargetConfig: which target, whose kernels, and how many golden clips."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, PositiveInt, field_validator, model_validator

from acula_edge.errors import UsageError
from targets.stethoscope.back_end import BackEnd
from targets.stethoscope.vendor import require_cmsis
from targets.table import target


class TargetConfig(BaseModel):
    """Golden clips come from the validation split.

    UsageError for a target that is not in the table, and for a back end that the target does not have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "android"
    back_end: BackEnd = BackEnd.OWN
    golden_clips: PositiveInt = 16
    seed: int = 0

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return target(name).name

    @model_validator(mode="after")
    def _has_the_back_end(self) -> Self:
        known = target(self.name).back_ends
        if self.back_end not in known:
            raise UsageError(
                f"target {self.name} has no back end {self.back_end}; its back ends are: {', '.join(known)}"
            )
        return self

    def require(self) -> None:
        """Raises ToolError if a tool or package that the bundle is written with is missing."""
        target(self.name).require()
        if self.back_end is BackEnd.CMSIS_NN:
            require_cmsis()
