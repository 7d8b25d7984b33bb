"""Distillation losses: pure functions of tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from acula_edge.data.tasks import Task


def embedding_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error between projected student and standardised teacher embeddings, both (B, D)."""
    return F.mse_loss(student, teacher)


def task_loss(logits: Tensor, labels: Tensor, tasks: tuple[Task, ...], slices: Mapping[str, slice]) -> Tensor:
    """Mean cross-entropy over the tasks, each over the clips that take part in it.

    `logits` is (B, K), `labels` (B, tasks) int64 with -1 where a clip is not part of a task. Every
    labelled clip has the same weight within its task; tasks without a clip in the batch do not count.
    """
    terms = []
    for column, task in enumerate(tasks):
        known = labels[:, column] >= 0
        if not bool(known.any()):
            continue
        own, truth = logits[known, slices[task.name]], labels[known, column]
        if task.n_logits == 1:
            terms.append(F.binary_cross_entropy_with_logits(own[:, 0], truth.to(own.dtype)))
        else:
            terms.append(F.cross_entropy(own, truth))
    return torch.stack(terms).mean() if terms else logits.sum() * 0.0
