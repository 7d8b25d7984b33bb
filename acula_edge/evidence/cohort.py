"""Cohort: the recordings that systems are compared on, and the patients they come from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.folder import SourceRow
from acula_edge.data.recording import Recording
from acula_edge.data.tasks import Task


@dataclass(frozen=True)
class Member:
    """One recording: `unit` is what a bootstrap draws, `named` whether it is a patient."""

    id: str
    dataset: str
    unit: str
    named: bool
    labels: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of_recording(cls, recording: Recording) -> Member:
        """From a recording of a Dataset.

        Where the source names no patients its group may be a whole source database, and drawing from a
        handful of databases says nothing: there the recording itself is drawn.
        """
        named = recording.patient != ""
        unit = recording.group if named else recording.id
        return cls(recording.id, recording.dataset, unit, named, recording.labels)

    @classmethod
    def of_row(cls, row: SourceRow, tasks: Iterable[Task]) -> Member:
        """From a row of a recordings folder; labels by the tasks' own rules."""
        found = {task.name: task.label_of(row.dataset, row.values) for task in tasks}
        labels = {name: label for name, label in found.items() if label is not None}
        return cls(row.id, row.dataset, row.patient or row.id, row.patient != "", labels)


@dataclass(frozen=True)
class Cohort:
    """Members in a fixed order; every array of scores has one row for each of them, in that order."""

    members: tuple[Member, ...]

    def rows(self, task: str) -> NDArray[np.int64]:
        """Indices (n,) of the members that take part in a task."""
        return np.array([i for i, member in enumerate(self.members) if task in member.labels], dtype=np.int64)

    def labels(self, task: str) -> NDArray[np.int64]:
        """Class indices (n,) of those members."""
        found = [member.labels[task] for member in self.members if task in member.labels]
        return np.array(found, dtype=np.int64)

    def units(self, rows: NDArray[np.int64]) -> set[str]:
        """The patients of some members."""
        return {self.members[i].unit for i in rows}
