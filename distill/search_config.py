"""SearchConfig: a budget, how long to search in it, and the recipe of each trial."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from acula_edge.students.budget import Budget
from distill.config import DistillConfig


class SearchConfig(BaseModel):
    """`trials` students are each trained for `epochs`; more shapes are looked at, for those that do not fit.

    The ranks of shapes settle late: README says how far those after a third of the default epochs agree.

    `settings` are the sections of a build's config as far as they differ from the defaults. Its section
    `distill` is the recipe of every trial, but for student, epochs, seed and views.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget: Budget
    trials: int = Field(default=24, gt=0)
    epochs: int = Field(default=24, gt=0)
    seed: int = Field(default=0, ge=0)
    settings: dict[str, Any] = {}

    @property
    def recipe(self) -> DistillConfig:
        """How a trial's student is trained."""
        return DistillConfig.model_validate(self.settings.get("distill", {}))
