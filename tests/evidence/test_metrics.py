"""The project's metrics against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from acula_edge.data.metrics import auroc, logit_slices, macro_auroc, probabilities, task_score
from acula_edge.data.tasks import KNOWN_TASKS, Task

BINARY, FOUR_CLASSES = KNOWN_TASKS[0], KNOWN_TASKS[1]

# Few distinct scores: most cases have ties.
scored = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40)


@given(scored)
def test_auroc_is_sklearns_with_ties(pairs: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in pairs], dtype=np.float64)
    positive = np.array([label for _, label in pairs])
    if positive.all() or not positive.any():
        assert math.isnan(auroc(scores, positive))
    else:
        assert auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)


@given(scored)
def test_auroc_of_reversed_scores_is_its_complement(pairs: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in pairs], dtype=np.float64)
    positive = np.array([label for _, label in pairs])
    value = auroc(scores, positive)
    assert math.isnan(value) or auroc(-scores, positive) == pytest.approx(1 - value, abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(3, 6))
def test_macro_auroc_is_sklearns(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, 30)])
    logits = np.round(rng.normal(size=(labels.size, classes)), 1)
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = roc_auc_score(labels, scores, multi_class="ovr", average="macro")
    assert macro_auroc(scores, labels) == pytest.approx(expected, abs=1e-12)


def test_macro_auroc_leaves_out_a_class_that_is_not_there() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 50)
    scores = rng.random((50, 4))
    expected = np.mean([roc_auc_score(labels == k, scores[:, k]) for k in range(3)])
    assert macro_auroc(scores, labels) == pytest.approx(expected, abs=1e-12)


def test_a_tasks_score_follows_its_classes() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 40)
    logits = rng.normal(size=(40, 1)).astype(np.float32)
    assert task_score(BINARY, logits, labels) == pytest.approx(roc_auc_score(labels, logits[:, 0]))
    four = rng.integers(0, 4, 60)
    wide = rng.normal(size=(60, 4)).astype(np.float32)
    softmax = np.exp(wide.astype(np.float64)) / np.exp(wide.astype(np.float64)).sum(1, keepdims=True)
    expected = roc_auc_score(four, softmax, multi_class="ovr")
    assert task_score(FOUR_CLASSES, wide, four) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("task", [BINARY, FOUR_CLASSES], ids=lambda task: task.name)
def test_probabilities_add_up_even_for_extreme_logits(task: Task) -> None:
    logits = np.array([[-1e4] * task.n_logits, [0.0] * task.n_logits, [1e4] * task.n_logits])
    found = probabilities(task, logits)
    assert found.shape == (3, len(task.classes))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1.0)


def test_logits_stand_in_task_order_without_gaps() -> None:
    slices = logit_slices(KNOWN_TASKS)
    columns = [column for task in KNOWN_TASKS for column in range(*slices[task.name].indices(99))]
    assert columns == list(range(sum(task.n_logits for task in KNOWN_TASKS)))
    assert slices[FOUR_CLASSES.name] == slice(1, 5)
