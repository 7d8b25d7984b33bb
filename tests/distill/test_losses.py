"""Distillation losses against closed forms, scikit-learn, scipy and plain numpy loops."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine, pdist
from scipy.special import expit, log_softmax, softmax
from scipy.stats import entropy
from sklearn.metrics import log_loss, mean_squared_error

from acula_edge.data.metrics import logit_slices
from acula_edge.data.tasks import ClassRule, Task
from distill import losses
from distill.losses import embedding_loss, task_loss

BINARY = Task(name="two", dataset="d", classes=tuple(ClassRule(name=n, values=(n,)) for n in "ab"))
TRIPLE = Task(name="three", dataset="e", classes=tuple(ClassRule(name=n, values=(n,)) for n in "abc"))
TASKS = (BINARY, TRIPLE)
ALIKE = (losses.embedding_loss, losses.cosine_loss, losses.distance_loss, losses.angle_loss, losses.gram_loss)


def _rows(seed: int, n: int, dim: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dim))


def _huber(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    difference = np.abs(x - y)
    return np.where(difference < 1, difference**2 / 2, difference - 0.5)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


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
    x, y = _rows(1, 9, 6), _rows(2, 9, 6)
    found = embedding_loss(torch.from_numpy(x), torch.from_numpy(y))
    assert float(found) == pytest.approx(mean_squared_error(x, y))


def test_cosine_loss_is_the_mean_cosine_distance() -> None:
    x, y = _rows(1, 9, 6), _rows(2, 9, 6)
    found = losses.cosine_loss(torch.from_numpy(x), torch.from_numpy(y))
    assert float(found) == pytest.approx(np.mean([cosine(a, b) for a, b in zip(x, y, strict=True)]))


def test_distance_loss_of_three_points_is_known() -> None:
    """Sides 3, 4, 5 (mean 4) against 1, 1, 1: differences .25, 0 and .25, each Huber .03125."""
    right = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    even = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert float(losses.distance_loss(right, even)) == pytest.approx((0.03125 + 0 + 0.03125) / 3)


def test_distance_loss_compares_relative_distances() -> None:
    x, y = _rows(3, 12, 5), _rows(4, 12, 8)
    expected = _huber(pdist(x) / pdist(x).mean(), pdist(y) / pdist(y).mean()).mean()
    found = losses.distance_loss(torch.from_numpy(x), torch.from_numpy(y))
    assert float(found) == pytest.approx(expected)


def test_angle_loss_of_three_points_is_known() -> None:
    """Cosines .6, .8 and 0 of the right triangle against .5, .5 and .5, each angle counted twice."""
    right = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    even = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    expected = (0.1**2 / 2 + 0.3**2 / 2 + 0.5**2 / 2) / 3
    assert float(losses.angle_loss(right, even)) == pytest.approx(expected)


def test_angle_loss_is_the_mean_over_triples() -> None:
    x, y = _rows(5, 7, 4), _rows(6, 7, 9)

    def angle(rows: np.ndarray, i: int, j: int, k: int) -> float:
        return 1.0 - float(cosine(rows[i] - rows[j], rows[k] - rows[j]))

    triples = list(permutations(range(7), 3))
    expected = np.mean([_huber(angle(x, *t), angle(y, *t)) for t in triples])  # type: ignore[arg-type]
    found = losses.angle_loss(torch.from_numpy(x), torch.from_numpy(y))
    assert float(found) == pytest.approx(expected)


def test_gram_loss_is_one_less_linear_cka_in_feature_space() -> None:
    x, y = _rows(7, 20, 6), _rows(8, 20, 3) + _rows(7, 20, 6)[:, :3]
    a, b = x - x.mean(0), y - y.mean(0)
    cka = np.linalg.norm(b.T @ a) ** 2 / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    found = losses.gram_loss(torch.from_numpy(x), torch.from_numpy(y))
    assert float(found) == pytest.approx(1 - cka)
    assert 0.1 < float(found) < 0.9


@pytest.mark.parametrize("loss", [losses.distance_loss, losses.angle_loss, losses.gram_loss])
def test_relations_do_not_see_rotation_shift_and_scale(loss) -> None:  # type: ignore[no-untyped-def]
    x, y = _rows(9, 10, 5), _rows(10, 10, 5)
    rotation, _ = np.linalg.qr(_rows(11, 5, 5))
    moved = 3.0 * x @ rotation + 2.0
    found = [float(loss(torch.from_numpy(rows), torch.from_numpy(y))) for rows in (x, moved)]
    assert found[0] > 0.01
    assert found[1] == pytest.approx(found[0])


@pytest.mark.parametrize("loss", ALIKE)
def test_agreement_is_zero_with_a_finite_gradient(loss) -> None:  # type: ignore[no-untyped-def]
    rows = torch.from_numpy(_rows(12, 8, 5))
    student = rows.clone().requires_grad_()
    value = loss(student, rows)
    value.backward()
    assert float(value.detach()) == pytest.approx(0.0, abs=1e-12)
    assert student.grad is not None
    assert bool(student.grad.isfinite().all())


@pytest.mark.parametrize("loss", ALIKE)
def test_gradient_is_the_difference_quotient(loss) -> None:  # type: ignore[no-untyped-def]
    student = torch.from_numpy(_rows(13, 6, 4)).requires_grad_()
    teacher = torch.from_numpy(_rows(14, 6, 4))
    assert torch.autograd.gradcheck(lambda rows: loss(rows, teacher), (student,))


def test_equal_rows_have_finite_relations() -> None:
    student = torch.ones(5, 4, requires_grad=True)
    teacher = torch.from_numpy(_rows(15, 5, 4)).float()
    (losses.distance_loss(student, teacher) + losses.angle_loss(student, teacher)).backward()
    assert student.grad is not None
    assert bool(student.grad.isfinite().all())


def test_contrastive_loss_is_infonce() -> None:
    x, y = _rows(16, 8, 6), _rows(17, 8, 6)
    logits = _unit(x) @ _unit(y).T / 0.2
    expected = -np.diag(log_softmax(logits, axis=1)).mean()
    found = losses.contrastive_loss(torch.from_numpy(x), torch.from_numpy(y), 0.2)
    assert float(found) == pytest.approx(expected)
    partner = losses.contrastive_loss(torch.from_numpy(y), torch.from_numpy(y), 0.2)
    assert float(partner) < float(found)


def test_logit_loss_is_kl_and_soft_cross_entropy_at_a_temperature() -> None:
    x, y, heat = _rows(18, 10, 4), _rows(19, 10, 4), 3.0
    p, q = expit(y[:, 0] / heat), expit(x[:, 0] / heat)
    two = np.mean(-p * np.log(q) - (1 - p) * np.log(1 - q))
    three = np.mean(entropy(softmax(y[:, 1:] / heat, axis=1), softmax(x[:, 1:] / heat, axis=1), axis=1))
    found = losses.logit_loss(torch.from_numpy(x), torch.from_numpy(y), TASKS, logit_slices(TASKS), heat)
    assert float(found) == pytest.approx(heat**2 * (two + three) / 2)


def test_logit_loss_counts_a_task_in_its_domain_only() -> None:
    x, y = (torch.from_numpy(_rows(seed, 10, 4)) for seed in (18, 19))
    domain = torch.arange(20).reshape(10, 2) % 3 == 0
    student = x.clone().requires_grad_()
    found = losses.logit_loss(student, y, TASKS, logit_slices(TASKS), 2.0, domain)
    parts = [
        losses.logit_loss(x[rows], y[rows], (task,), {task.name: logit_slices(TASKS)[task.name]}, 2.0)
        for task, rows in zip(TASKS, domain.T, strict=True)
    ]
    assert float(found.detach()) == pytest.approx(float(sum(parts)) / 2)
    found.backward()
    assert student.grad is not None
    assert student.grad[:, 0].ne(0).equal(domain[:, 0])
    assert student.grad[:, 1:].ne(0).all(dim=1).equal(domain[:, 1])
    nowhere = losses.logit_loss(student, y, TASKS, logit_slices(TASKS), 2.0, torch.zeros_like(domain))
    assert float(nowhere.detach()) == 0.0


def test_logit_loss_pulls_alike_at_every_temperature() -> None:
    """T^2 keeps the gradient's size: at a high T it is that of half the squared difference of logits."""
    x, y = _rows(20, 10, 4), _rows(21, 10, 4)
    student = torch.from_numpy(x).requires_grad_()
    heat = 1e3
    losses.logit_loss(student, torch.from_numpy(y), TASKS, logit_slices(TASKS), heat).backward()
    assert student.grad is not None
    expected = (x - y)[:, 0] / 4 / 10 / 2  # the logistic function's slope at 0, the batch, the tasks
    assert student.grad[:, 0].numpy() == pytest.approx(expected, rel=1e-2)


def test_semantic_loss_is_the_distance_to_the_teachers_place() -> None:
    x, y = _rows(22, 6, 5), _unit(_rows(23, 6, 5))
    expected = np.mean(np.sum((x / np.sqrt(5) - y) ** 2, axis=1))
    found = losses.semantic_loss(torch.from_numpy(x), torch.from_numpy(y))
    assert float(found) == pytest.approx(expected)
    there = losses.semantic_loss(torch.from_numpy(np.sqrt(5) * y), torch.from_numpy(y))
    assert float(there) == pytest.approx(0.0, abs=1e-12)


def test_report_loss_looks_for_the_own_report_among_all() -> None:
    x, reports = _rows(25, 5, 4), _unit(_rows(26, 7, 4))
    own = np.array([3, -1, 0, -1, 6])
    told = own >= 0
    said = log_softmax(_unit(x[told]) @ reports.T / 0.1, axis=1)
    expected = -np.mean([row[index] for row, index in zip(said, own[told], strict=True)])
    student = torch.from_numpy(x).requires_grad_()
    found = losses.report_loss(student, torch.from_numpy(own), torch.from_numpy(reports), 0.1)
    assert float(found.detach()) == pytest.approx(expected)
    found.backward()
    assert student.grad is not None
    assert not student.grad[~torch.from_numpy(told)].any()


def test_report_loss_without_a_report_is_zero() -> None:
    student = torch.ones(3, 4, requires_grad=True)
    loss = losses.report_loss(student, torch.full((3,), -1), torch.ones(2, 4), 0.1)
    loss.backward()
    assert float(loss.detach()) == 0.0
