"""TargetConfig: which target, and how many golden clips."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, PositiveInt, field_validator

from targets.table import target


class TargetConfig(BaseModel):
    """Golden clips come from the validation split. UsageError for a target that is not in the table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "android"
    golden_clips: PositiveInt = 16
    seed: int = 0

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return target(name).name
