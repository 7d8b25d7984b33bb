"""Fidelity: scores, embedding geometry and layers of the INT8 files against the float student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from acula_edge.artifact import Artifact
from acula_edge.data.metrics import logit_slices, task_score
from acula_edge.data.recording import Recording
from acula_edge.data.spread import Clips
from acula_edge.data.tasks import Task
from acula_edge.evidence import zero_shot
from acula_edge.evidence.accuracy import evaluate
from acula_edge.evidence.fidelity import Fidelity, Geometry
from acula_edge.evidence.geometry import cka, neighbour_overlap
from acula_edge.evidence.results import Accuracy
from acula_edge.students.space import TextSpace
from quantize.hearing import FLOAT, INT8, PANEL, Heard
from quantize.reports import report_rows, searches

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import GraphModule

RESAMPLES = 1000  # of the patients, for intervals
DEPTH = 10  # neighbours that are compared
PTE_LAYERS, TFLITE_LAYERS = "model.pte", "model.tflite"

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Sources:
    """What is compared: the graph before lowering, the student, its text space, and the files in `folder`.

    `network` has the float weights that the graph was made from: the student itself, or what QAT made of it.
    A `teacher` knows the reports of validation recordings.
    """

    quantised: GraphModule
    student: nn.Module
    network: nn.Module
    space: TextSpace
    folder: Path
    teacher: Artifact | None

    @property
    def float_tflite(self) -> Path:
        """The float .tflite with the weights of `network`."""
        own = self.folder / "float.tflite"
        return own if self.network is self.student else self.folder / "retrained.tflite"

    def reports(self, recordings: Sequence[Recording]) -> dict[int, Floats]:
        """The report (E,) of each recording that has one, by its position; none without a teacher."""
        return report_rows(self.teacher, self.space, recordings) if self.teacher else {}


@dataclass(frozen=True)
class Trial:
    """Validation clips, their features (n, 1, n_mels, n_frames) and the recordings that they are of."""

    clips: Clips
    features: Floats
    recordings: tuple[Recording, ...]


def measure(sources: Sources, heard: Heard, trial: Trial, seed: int) -> Fidelity:
    """All of fidelity.json: scores and geometry of all that is heard, layers on the clips of the trial."""
    import torch

    from quantize.layers import layers_of
    from quantize.sensitivity import scan_graph, scan_tflite

    def score(logits: Floats) -> float | None:
        return mean_auroc(heard.tasks, trial.recordings, logits)

    scan = scan_graph(sources.quantised, sources.network, torch.from_numpy(trial.features), score)
    files = (sources.float_tflite, sources.folder / TFLITE_LAYERS)
    tflite = scan_tflite(*files, layers_of(sources.quantised), trial.features)
    cohort = heard.cohort
    return Fidelity(
        recordings=len(heard.recordings),
        patients=len({f"{member.dataset}/{member.unit}" for member in cohort.members}),
        clips=len(trial.features),
        accuracy=evaluate(heard.tasks, cohort, heard.logits, PANEL, RESAMPLES, seed),
        zero_shot=_zero_shot(heard, sources.space, seed),
        geometry=tuple(geometry(name, heard.embedding) for name in INT8),
        report_search=searches(heard, sources.reports(heard.recordings)),
        layers={PTE_LAYERS: scan.layers, TFLITE_LAYERS: tflite},
        float_effects=scan.effects,
    )


def mean_auroc(tasks: Sequence[Task], recordings: Sequence[Recording], logits: Floats) -> float | None:
    """Mean over the tasks of which these recordings show more than one class; None if there is none."""
    slices, found = logit_slices(tuple(tasks)), []
    for task in tasks:
        rows = [row for row, recording in enumerate(recordings) if task.name in recording.labels]
        labels = np.array([recordings[row].labels[task.name] for row in rows], dtype=np.int64)
        if len(set(labels.tolist())) > 1:
            found.append(task_score(task, logits[rows, slices[task.name]], labels))
    return float(np.mean(found)) if found else None


def geometry(name: str, embedding: Mapping[str, Floats]) -> Geometry:
    """One INT8 file's embeddings (n, E), n >= 2, against those of the float one."""
    one, other = embedding[FLOAT], embedding[name]
    depth = min(DEPTH, len(one) - 1)
    return Geometry(
        system=name,
        title=next(system.title for system in PANEL.systems if system.name == name),
        cka=cka(one, other),
        depth=depth,
        neighbour_overlap=neighbour_overlap(one, other, depth),
        neighbour_chance=depth / (len(one) - 1),
    )


def _zero_shot(heard: Heard, space: TextSpace, seed: int) -> Accuracy | None:
    """Scores of the tasks whose every class has a report, by text prototypes alone."""
    tasks = [
        task
        for task in heard.tasks
        if task.name in space.prototypes and space.prototypes[task.name].any(1).all()
    ]
    if not tasks:
        return None
    logits = {
        name: np.concatenate(
            [zero_shot.scores(task, found, space.prototypes[task.name]) for task in tasks], axis=1
        )
        for name, found in heard.embedding.items()
    }
    return evaluate(tasks, heard.cohort, logits, PANEL, RESAMPLES, seed)
