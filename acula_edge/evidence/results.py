"""Results: scores of systems on tasks, as the typed values behind accuracy.json and the reports."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value at the file border: unknown keys, NaN and infinity are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Estimate(Frozen):
    """A value and its 95 % interval; None where there is none. `degenerate` resamples were left out."""

    value: float | None
    low: float | None
    high: float | None
    degenerate: int


class TaskCohort(Frozen):
    """Who a task was measured on. `counts` holds the recordings of each class.

    Where the source names no patients (`patients_named` false), `patients` counts recordings.
    """

    task: str
    dataset: str
    metric: str
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    patients: int
    patients_named: bool

    @property
    def recordings(self) -> int:
        """Recordings of all classes."""
        return sum(self.counts)


class SystemAccuracy(Frozen):
    """One system's score on every task, and its mean over the tasks."""

    system: str
    title: str
    ran_in: str
    tasks: dict[str, Estimate]
    mean: Estimate

    @property
    def averaged(self) -> tuple[str, ...]:
        """The tasks that the mean is over, as `intervals.mean_draws` chooses them."""
        valued = {name: found for name, found in self.tasks.items() if found.value is not None}
        sure = tuple(name for name, found in valued.items() if found.low is not None)
        return sure or tuple(valued)


class Difference(Frozen):
    """`system` minus `against`, paired over the same patients."""

    system: str
    against: str
    title: str
    tasks: dict[str, Estimate]
    mean: Estimate


class Accuracy(Frozen):
    """accuracy.json: every system on every task of one set of recordings."""

    resamples: int
    seed: int
    cohorts: tuple[TaskCohort, ...]
    systems: tuple[SystemAccuracy, ...]
    differences: tuple[Difference, ...]

    def difference(self, system: str, against: str) -> Difference | None:
        """The paired difference of two systems, if both were scored."""
        found = (d for d in self.differences if (d.system, d.against) == (system, against))
        return next(found, None)
