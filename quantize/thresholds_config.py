"""ThresholdsConfig: how a bundle's decision rules are chosen."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ThresholdsConfig(BaseModel):
    """Chosen on the float student's scores of validation recordings.

    Without `sensitivity`, a threshold has the largest Youden index (sensitivity + specificity - 1); with it,
    the largest threshold that reaches this sensitivity. `coverage` is that of the abstention band.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sensitivity: float | None = Field(default=None, gt=0, le=1)
    coverage: float = Field(default=0.9, gt=0.5, lt=1)
