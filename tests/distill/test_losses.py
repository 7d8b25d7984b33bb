"""Distillation losses against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, mean_squared_error

from acula_edge.data.metrics import logit_slices
from acula_edge.data.tasks import ClassRule, Task
from distill.losses import embedding_loss, task_loss

BINARY = Task(name="two", dataset="d", classes=tuple(ClassRule(name=n, values=(n,)) for n in "ab"))
TRIPLE = Task(name="three", dataset="e", classes=tuple(ClassRule(name=n, values=(n,)) for n in "abc"))
TASKS = (BINARY, TRIPLE)


def test_task_loss_is_the_mean_log_loss_of_each_task() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(40, 4))
    labels = np.stack([rng.integers(-1, 2, size=40), rng.integers(-1, 3, size=40)], axis=1)
    two, three = labels[:, 0] >= 0, labels[:, 1] >= 0
    positive = 1 / (1 + np.exp(-logits[two, 0]))
    soft = np.exp(logits[three, 1:]) / np.exp(logits[three, 1:]).sum(1, keepdims=True)
    expected = (
        log_loss(labels[two, 0], positive, labels=[0, 1]) + log_loss(labels[three, 1], soft, labels=[0, 1, 2])
    ) / 2
    found = task_loss(torch.from_numpy(logits), torch.from_numpy(labels), TASKS, logit_slices(TASKS))
    assert float(found) == pytest.approx(expected, abs=1e-9)


def test_unlabelled_batch_has_zero_loss_and_gradient() -> None:
    logits = torch.randn(5, 4, requires_grad=True)
    loss = task_loss(logits, torch.full((5, 2), -1), TASKS, logit_slices(TASKS))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_logits_of_other_tasks_have_no_gradient() -> None:
    logits = torch.randn(3, 4, requires_grad=True)
    task_loss(logits, torch.tensor([[1, -1], [0, -1], [1, -1]]), TASKS, logit_slices(TASKS)).backward()
    assert logits.grad is not None
    assert bool(logits.grad[:, 0].all())
    assert not logits.grad[:, 1:].any()


def test_embedding_loss_is_the_mean_squared_error() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(9, 6)), rng.normal(size=(9, 6))
    found = embedding_loss(torch.from_numpy(x), torch.from_numpy(y))
    assert float(found) == pytest.approx(mean_squared_error(x, y))
