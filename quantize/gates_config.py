"""GatesConfig: how much INT8 may change before a build is refused."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt


class Drop(BaseModel):
    """The most that may be lost, as a mean over the tasks and for each task alone; None: no gate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: PositiveFloat | None = None
    task: PositiveFloat | None = None


class Least(BaseModel):
    """The least that must be left, over all recordings and over those of each task; None: no gate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: float | None = Field(default=None, gt=0, le=1)
    task: float | None = Field(default=None, gt=0, le=1)


class GatesConfig(BaseModel):
    """What INT8 files must keep on validation recordings; both runtimes' files pass each gate, or none does.

    `max_auroc_drop`: float AUROC less that of INT8. `non_inferiority_margin`: the lower end of the one-sided
    95 % interval of INT8 AUROC less that of float, paired over patients, must lie above minus the margin.
    `min_embedding_cka`, `min_neighbour_overlap`: of the INT8 embeddings with the float ones, the neighbours
    being the 10 nearest by cosine. A task is asked, and counts in the mean AUROC, where it has at least
    `fewest_recordings` recordings and an interval for its AUROC: of a few recordings, a single one that
    changes places with another costs more than any bound. `max_undelegated_ops`: operators of a file that
    no delegate takes. `max_size_bytes`: of each INT8 file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_auroc_drop: Drop = Drop(mean=0.02)
    non_inferiority_margin: Drop = Drop(mean=0.05)
    min_embedding_cka: Least = Least(mean=0.95)
    min_neighbour_overlap: Least = Least(mean=0.8)
    max_undelegated_ops: NonNegativeInt | None = 8
    max_size_bytes: PositiveInt | None = None
    fewest_recordings: PositiveInt = 20
