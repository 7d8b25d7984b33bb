"""EvaluationConfig: how a teacher is evaluated."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, PositiveInt


class EvaluationConfig(BaseModel):
    """Each OPERA probe is trained `probe_seeds` times, and its score is the mean.

    Intervals come from `bootstrap_resamples` resamples of the patients. An age regression needs
    `fewest_ages` recordings of a data set that name the age.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    probe_seeds: PositiveInt = 5
    bootstrap_resamples: int = Field(default=1000, ge=100)
    fewest_ages: int = Field(default=20, ge=2)
    ridge_strengths: tuple[float, ...] = (1.0, 10.0, 100.0, 1000.0)
    seed: int = Field(default=0, ge=0)
