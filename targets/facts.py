"""Facts: what a bundle's documents are generated from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from acula_edge.contract import AudioContract
from acula_edge.data.metrics import logit_slices
from acula_edge.data.tasks import Task
from acula_edge.evidence.decisions import Decisions
from targets.stethoscope.back_end import BackEnd

if TYPE_CHECKING:
    from acula_edge.students.student import Student

NOTICE = "Research software, not a medical device."


class Labels(BaseModel):
    """`labels.json`: what the outputs mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: tuple[Task, ...]
    embedding_dim: int
    n_logits: int
    simulated: bool
    notice: str = NOTICE


@dataclass(frozen=True)
class LabelRow:
    """One logit: its index, its task, the class it speaks for, and how it becomes a probability."""

    index: int
    task: str
    class_name: str
    activation: str


@dataclass(frozen=True)
class Facts:
    """All that a target's documents may state; they hold no number of their own.

    `ops`, `parity` and `decisions` are the quantize stage's, `versions` the packages of this build,
    `files` the size in bytes of each model file, `back_end` whose kernels C code calls. A target that
    converts by itself asks for the float `student` and for `calibration`: features of training clips, float32
    (n, 1, n_mels, n_frames).
    """

    contract: AudioContract
    labels: Labels
    ops: Mapping[str, Mapping[str, Any]]
    parity: Mapping[str, Any]
    decisions: Decisions
    versions: Mapping[str, str]
    files: Mapping[str, int]
    golden_clips: int
    back_end: BackEnd
    student: Callable[[], Student]
    calibration: Callable[[], NDArray[np.float32]]


def label_rows(labels: Labels) -> list[LabelRow]:
    """One row for each logit, in the order of the output."""
    rows = []
    slices = logit_slices(labels.tasks)
    for task in labels.tasks:
        # A binary task has one logit, that of its second class.
        spoken_for = task.classes[1:] if task.n_logits == 1 else task.classes
        activation = "sigmoid" if task.n_logits == 1 else "softmax"
        for index, rule in zip(_indices(slices[task.name]), spoken_for, strict=True):
            rows.append(LabelRow(index, task.name, rule.name, activation))
    return rows


def _indices(part: slice) -> range:
    return range(part.start, part.stop)
