"""Scores: how well a student tells the tasks apart on validation recordings, by its heads and by text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from acula_edge.data.metrics import logit_slices, task_score
from acula_edge.data.tasks import Task
from acula_edge.students.space import TextSpace
from acula_edge.students.student import Student
from distill.views import Views

_BATCH = 64

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Scores:
    """Each task's metric over recordings, by the task heads and by the cosines to the text prototypes.

    A task that the recordings can not score is left out.
    """

    heads: dict[str, float]
    zero_shot: dict[str, float]


@torch.no_grad()
def answers(student: Student, views: Views) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The student's embeddings (n, E) and logits (n, K) of views, on the device where it is."""
    student.eval()
    device = next(student.parameters()).device
    parts = []
    for start in range(0, len(views), _BATCH):
        features = views.features[start : start + _BATCH].astype(np.float32)[:, None]
        parts.append([part.cpu().numpy() for part in student(torch.from_numpy(features).to(device))])
    embedding, logits = (np.concatenate(part) for part in zip(*parts, strict=True))
    return embedding, logits


def validation_scores(student: Student, tasks: tuple[Task, ...], val: Views, space: TextSpace) -> Scores:
    """Scores on the validation recordings; what is said of one is the mean over its clips."""
    embedding, logits = (_by_recording(rows, val) for rows in answers(student, val))
    slices = logit_slices(tasks)
    told = tuple(task for task in tasks if bool(space.prototypes[task.name].any(axis=1).all()))
    return Scores(
        _scores(tasks, val, lambda task: logits[:, slices[task.name]]),
        _scores(told, val, lambda task: _zero_shot(space, embedding, task)),
    )


def _zero_shot(space: TextSpace, embedding: Floats, task: Task) -> Floats:
    """Logits (n, task.n_logits); a binary task's is the positive class's cosine less the negative one's."""
    cosines = space.scores(embedding, task.name)
    return cosines[:, 1:] - cosines[:, :1] if task.n_logits == 1 else cosines


def _scores(tasks: tuple[Task, ...], val: Views, logits_of: Callable[[Task], Floats]) -> dict[str, float]:
    scores = {}
    for task in tasks:
        rows = [index for index, item in enumerate(val.recordings) if task.name in item.labels]
        labels = np.array([val.recordings[index].labels[task.name] for index in rows], dtype=np.int64)
        if rows:
            score = task_score(task, logits_of(task)[rows], labels)
            if not np.isnan(score):
                scores[task.name] = score
    return scores


def _by_recording(rows: Floats, views: Views) -> NDArray[np.float64]:
    """The mean (recordings, d) over each recording's rows (n, d)."""
    sums = np.zeros((len(views.recordings), rows.shape[1]))
    np.add.at(sums, views.owner, rows)
    return sums / np.bincount(views.owner, minlength=len(sums))[:, None]
