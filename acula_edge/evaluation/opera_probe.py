"""OPERA's linear probe: a linear layer on raw frozen embeddings, trained by gradient descent.

Zhang et al., "Towards open respiratory acoustic foundation models" (NeurIPS 2024), as their released
benchmark runs it: weights from N(0, 0.01), biases 0; cross-entropy plus 1e-5 times the squares of
weights and biases; Adam at 1e-4, times 0.97 after each epoch; gradient norm at most 1; nothing is
normalised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from acula_edge.data.metrics import task_score
from acula_edge.data.tasks import Task
from acula_edge.teacher.probe import Embedded

Affine = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Weight (n_logits, D) and bias (n_logits,)."""

_RATE, _DECAY, _L2, _MAX_NORM, _SPREAD = 1e-4, 0.97, 1e-5, 1.0, 0.01
_BATCH, _SMALL_BATCH, _SMALL_SET = 64, 32, 200


@dataclass(frozen=True)
class Schedule:
    """Epochs, and every how many of them validation may choose the checkpoint."""

    epochs: int = 64
    chosen_every: int = 1


_SCHEDULES = {"kauh": Schedule(epochs=50, chosen_every=5)}


def fit(task: Task, train: Embedded, val: Embedded, seeds: int = 5) -> list[Affine]:
    """One affine map to the task's logits for each of the seeds 0 .. seeds - 1.

    Batches hold 64 recordings, or 32 where train holds fewer than 200. Each seed keeps the epoch with
    its best validation score, the first of equals; where validation lacks a class, the last epoch.
    """
    probe = _Probes(task, train, seeds)
    embeddings, labels = val.of_task(task)
    schedule = _SCHEDULES.get(task.dataset, Schedule())
    best = np.full(seeds, -np.inf)
    kept = probe.affine()
    for epoch in range(1, schedule.epochs + 1):
        probe.train_epoch()
        if epoch % schedule.chosen_every:
            continue
        now = probe.affine()
        scores = [_score(task, affine, embeddings, labels) for affine in now]
        for seed, score in enumerate(scores):
            if np.isnan(score) or score > best[seed]:
                best[seed], kept[seed] = score, now[seed]
    return kept


def _score(task: Task, affine: Affine, embeddings: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    weight, bias = affine
    return task_score(task, embeddings @ weight.T + bias, labels) if labels.size else float("nan")


class _Probes:
    """The linear layers of all seeds: weight (seeds, classes, D), bias (seeds, classes, 1)."""

    def __init__(self, task: Task, train: Embedded, seeds: int) -> None:
        embeddings, labels = train.of_task(task)
        self._embeddings, self._labels = torch.from_numpy(embeddings), torch.from_numpy(labels)
        self._batch = _SMALL_BATCH if len(labels) < _SMALL_SET else _BATCH
        self._binary = task.n_logits == 1
        self._seeds = [torch.Generator().manual_seed(seed) for seed in range(seeds)]
        shape = (len(task.classes), embeddings.shape[1])
        layers = [torch.empty(shape).normal_(0.0, _SPREAD, generator=seed) for seed in self._seeds]
        self._weight = torch.stack(layers).requires_grad_()
        self._bias = torch.zeros(seeds, shape[0], 1, requires_grad=True)
        self._adam = torch.optim.Adam([self._weight, self._bias], lr=_RATE)
        self._rate = torch.optim.lr_scheduler.ExponentialLR(self._adam, _DECAY)

    def train_epoch(self) -> None:
        """Every recording once, in an order of its own for each seed."""
        orders = torch.stack([torch.randperm(len(self._labels), generator=seed) for seed in self._seeds])
        for rows in torch.split(orders, self._batch, dim=1):
            self._adam.zero_grad()
            self._loss(rows).backward()  # type: ignore[no-untyped-call]
            self._clip()
            self._adam.step()
        self._rate.step()

    def _loss(self, rows: Tensor) -> Tensor:
        """Sum of the seeds' losses on their own `rows` (seeds, batch): no seed's gradient has another's."""
        logits = self._weight @ F.embedding(rows, self._embeddings).mT + self._bias
        entropy = F.cross_entropy(logits, self._labels[rows], reduction="none").mean(dim=1).sum()
        return entropy + _L2 * (self._weight.square().sum() + self._bias.square().sum())

    def _clip(self) -> None:
        """To a norm of 1 for each seed, in the manner of torch's clip_grad_norm_."""
        gradients = [parameter.grad for parameter in (self._weight, self._bias) if parameter.grad is not None]
        norm = torch.cat(gradients, dim=2).flatten(1).norm(dim=1)
        scale = (_MAX_NORM / (norm + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient *= scale[:, None, None]

    def affine(self) -> list[Affine]:
        """A copy of each seed's layer as the task's logits: of two classes, their difference."""
        layers = torch.cat([self._weight, self._bias], dim=2).detach()
        logits = (layers[:, 1:] - layers[:, :1] if self._binary else layers).numpy().copy()
        return [(seed[:, :-1], seed[:, -1]) for seed in logits]
