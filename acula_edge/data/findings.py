"""Findings: what the leak audit looks at, and what it reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.recording import Recording
from acula_edge.data.takes import Take
from acula_edge.data.tasks import Task


class Severity(StrEnum):
    """How much a finding matters to whoever reads a result."""

    INFO = "info"
    WARNING = "warning"  # a result may look better than it is, or rests on less than it seems
    ERROR = "error"  # the recordings can not give an honest result


@dataclass(frozen=True)
class Finding:
    """One finding on one data set; `evidence` holds the numbers behind the sentence."""

    severity: Severity
    dataset: str
    check: str
    finding: str
    evidence: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Scene:
    """One data set under audit; `takes` and `recordings` go together, one by one."""

    dataset: str
    takes: Sequence[Take]
    recordings: Sequence[Recording]
    tasks: Sequence[Task]

    def labelled(self, task: Task) -> tuple[NDArray[np.int_], NDArray[np.bool_]]:
        """Indices of the recordings in `task`, and whether each is of a class other than the first."""
        chosen = [i for i, recording in enumerate(self.recordings) if task.name in recording.labels]
        positive = [self.recordings[i].labels[task.name] > 0 for i in chosen]
        return np.array(chosen, dtype=int), np.array(positive, dtype=bool)

    def info(self, check: str, finding: str, **evidence: Any) -> Finding:
        """A finding to know about."""
        return Finding(Severity.INFO, self.dataset, check, finding, evidence)

    def warning(self, check: str, finding: str, **evidence: Any) -> Finding:
        """A finding that a reader of the results must know."""
        return Finding(Severity.WARNING, self.dataset, check, finding, evidence)
