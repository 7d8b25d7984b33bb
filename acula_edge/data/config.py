"""DataConfig: what the data stage may be told."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from acula_edge.contract import AudioContract
from acula_edge.data.tasks import Task


class SplitFractions(BaseModel):
    """Share of the patients in each split, where the source gives no official split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: float = Field(default=0.6, gt=0, lt=1)
    val: float = Field(default=0.15, gt=0, lt=1)
    test: float = Field(default=0.25, gt=0, lt=1)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if abs(self.train + self.val + self.test - 1) > 1e-6:
            raise ValueError("train, val and test must add up to 1")
        return self


class DataConfig(BaseModel):
    """The data stage: `tasks` are asked beside the known ones; `contract` has no normalisation yet.

    `surface_forms` is how many differently phrased reports a recording gets.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    fractions: SplitFractions = SplitFractions()
    max_broken_fraction: float = Field(default=0.05, ge=0, le=1)
    min_seconds: float = Field(default=0.5, gt=0)
    tasks: tuple[Task, ...] = ()
    surface_forms: int = Field(default=4, ge=1)
    contract: AudioContract = AudioContract()
    simulated_patients: int = Field(default=120, ge=12)

    @model_validator(mode="after")
    def _unlearned(self) -> Self:
        if self.contract.normalisation is not None:
            raise ValueError("contract.normalisation is learned on the training split; leave it out")
        return self
