"""Probes: logits of both linear probes, and by text prototypes, for the recordings that are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.metrics import logit_slices
from acula_edge.data.recording import Split
from acula_edge.data.tasks import Task
from acula_edge.encoders.teacher_model import TeacherModel
from acula_edge.evaluation import opera_probe
from acula_edge.evaluation.embeddings import Embeddings
from acula_edge.evidence import zero_shot
from acula_edge.evidence.accuracy import Logits
from acula_edge.progress import track
from acula_edge.teacher.probe import Embedded

Floats = NDArray[np.float64]


def closed_form_logits(models: Mapping[str, TeacherModel], scored: Mapping[str, Embedded]) -> Logits:
    """Logits (n, K) of each variant, by the probe that its artifact holds."""
    return {
        name: scored[name].embeddings.astype(np.float64) @ model.weight.T + model.bias
        for name, model in models.items()
    }


def opera_logits(
    tasks: Sequence[Task], embeddings: Embeddings, scored: Mapping[str, Embedded], seeds: int
) -> Logits:
    """Logits (seeds, n, K) of each variant, by OPERA's probe trained on train and chosen on validation."""
    slices = logit_slices(tuple(tasks))
    n_logits = sum(task.n_logits for task in tasks)
    rows = {name: np.zeros((seeds, len(found.recordings), n_logits)) for name, found in scored.items()}
    train_rows, val_rows = embeddings.rows(Split.TRAIN), embeddings.rows(Split.VAL)
    jobs = [(name, task) for name in scored for task in tasks]
    for name, task in track(jobs, len(jobs), "OPERA's probe"):
        train, val = embeddings.at(name, train_rows), embeddings.at(name, val_rows)
        for seed, (weight, bias) in enumerate(opera_probe.fit(task, train, val, seeds)):
            rows[name][seed][:, slices[task.name]] = scored[name].embeddings @ weight.T + bias
    return rows


def told_tasks(tasks: Sequence[Task], prototypes: Mapping[str, NDArray[np.float32]]) -> tuple[Task, ...]:
    """The tasks of which every class has a report among the training patients."""
    return tuple(task for task in tasks if prototypes[task.name].any(axis=1).all())


def zero_shot_logits(
    tasks: Sequence[Task], audio: NDArray[np.float32], prototypes: Mapping[str, NDArray[np.float32]]
) -> Floats:
    """Logits (n, K) of projected recordings (n, d)."""
    return np.concatenate([zero_shot.scores(task, audio, prototypes[task.name]) for task in tasks], axis=1)
