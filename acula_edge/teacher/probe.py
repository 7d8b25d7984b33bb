"""Linear probe: logistic regression on frozen embeddings, one for each task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.metrics import logit_slices, task_score
from acula_edge.data.recording import Recording
from acula_edge.data.tasks import Task

STRENGTHS = (0.01, 0.1, 1.0)  # scikit-learn's C; the best on validation is kept


@dataclass(frozen=True)
class Probe:
    """Affine map from an embedding (D,) to all tasks' logits (K,), and its validation scores."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    strength: float
    validation: dict[str, float]

    @property
    def mean_validation(self) -> float:
        """Mean score over the tasks that the validation split can score."""
        return float(np.mean(list(self.validation.values()))) if self.validation else float("nan")


@dataclass(frozen=True)
class Embedded:
    """Recordings and their embeddings (n, D), row by row."""

    recordings: Sequence[Recording]
    embeddings: NDArray[np.float32]

    def of_task(self, task: Task) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Embeddings and class indices of the recordings that take part in `task`."""
        rows = [index for index, item in enumerate(self.recordings) if task.name in item.labels]
        labels = [self.recordings[index].labels[task.name] for index in rows]
        return self.embeddings[rows], np.array(labels, dtype=np.int64)


def fit_probe(tasks: tuple[Task, ...], train: Embedded, val: Embedded) -> Probe:
    """Fit every task on train with each strength; keep the strength with the best mean on val."""
    probes = [_fit(tasks, train, val, strength) for strength in STRENGTHS]
    return max(probes, key=lambda probe: np.nan_to_num(probe.mean_validation))


def _fit(tasks: tuple[Task, ...], train: Embedded, val: Embedded, strength: float) -> Probe:
    slices = logit_slices(tasks)
    n_logits = sum(task.n_logits for task in tasks)
    weight = np.zeros((n_logits, train.embeddings.shape[1]), dtype=np.float32)
    bias = np.zeros(n_logits, dtype=np.float32)
    validation = {}
    for task in tasks:
        part = slices[task.name]
        weight[part], bias[part] = _fit_task(task, *train.of_task(task), strength)
        embeddings, labels = val.of_task(task)
        if labels.size:
            score = task_score(task, embeddings @ weight[part].T + bias[part], labels)
            if not np.isnan(score):
                validation[task.name] = score
    return Probe(weight, bias, strength, validation)


def _fit_task(
    task: Task, embeddings: NDArray[np.float32], labels: NDArray[np.int64], strength: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weight (n_logits, D) and bias (n_logits,) on raw embeddings; standardisation is folded in."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(embeddings.astype(np.float64))
    model = LogisticRegression(C=strength, max_iter=2000)
    model.fit(scaler.transform(embeddings.astype(np.float64)), labels)
    coefficients = model.coef_ / scaler.scale_
    intercepts = model.intercept_ - coefficients @ scaler.mean_
    weight = np.zeros((task.n_logits, embeddings.shape[1]))
    bias = np.full(task.n_logits, -30.0)  # a class that train does not hold: probability about 0
    rows = slice(None) if task.n_logits == 1 else model.classes_
    weight[rows], bias[rows] = coefficients, intercepts
    return weight, bias
