"""The linear probe against scikit-learn's own pipeline."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from acula_edge.data.recording import Recording, Split
from acula_edge.data.tasks import ClassRule, Task
from acula_edge.teacher.probe import STRENGTHS, Embedded, fit_probe

BINARY = Task(name="two", dataset="d", classes=tuple(ClassRule(name=n, values=(n,)) for n in "ab"))
TRIPLE = Task(name="three", dataset="d", classes=tuple(ClassRule(name=n, values=(n,)) for n in "abc"))


def _embedded(n: int, seed: int, split: Split) -> Embedded:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, size=n)
    embeddings = rng.normal(size=(n, 6)) * [1, 10, 0.1, 1, 1, 1] + labels[:, None] * [0.5, 3, 0.05, 0, 0, 0]
    rows = [
        Recording(
            f"r{i}",
            "",
            "d",
            f"p{i}",
            f"p{i}",
            split,
            4000,
            0,
            1,
            "",
            "",
            {"two": int(c > 0), "three": int(c)},
        )
        for i, c in enumerate(labels)
    ]
    return Embedded(rows, embeddings.astype(np.float32))


def test_logits_equal_scikit_learns_decision_function() -> None:
    train, val = _embedded(150, 0, Split.TRAIN), _embedded(80, 1, Split.VAL)
    probe = fit_probe((BINARY, TRIPLE), train, val)
    logits = val.embeddings @ probe.weight.T + probe.bias
    assert probe.strength in STRENGTHS
    for task, columns in ((BINARY, slice(0, 1)), (TRIPLE, slice(1, 4))):
        embeddings, labels = train.of_task(task)
        pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=probe.strength, max_iter=2000))
        expected = pipeline.fit(embeddings.astype(float), labels).decision_function(
            val.embeddings.astype(float)
        )
        assert np.abs(logits[:, columns] - expected.reshape(len(expected), -1)).max() < 1e-3


def test_strength_is_the_best_on_validation() -> None:
    train, val = _embedded(60, 2, Split.TRAIN), _embedded(60, 3, Split.VAL)
    chosen = fit_probe((BINARY,), train, val)
    for strength in STRENGTHS:
        embeddings, labels = train.of_task(BINARY)
        pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
        pipeline.fit(embeddings, labels)
        from sklearn.metrics import roc_auc_score

        truth = val.of_task(BINARY)[1]
        assert (
            chosen.mean_validation >= roc_auc_score(truth, pipeline.decision_function(val.embeddings)) - 1e-3
        )


def test_a_class_missing_from_train_is_never_predicted() -> None:
    train, val = _embedded(90, 4, Split.TRAIN), _embedded(40, 5, Split.VAL)
    rows = [index for index, item in enumerate(train.recordings) if item.labels["three"] != 2]
    few = Embedded([train.recordings[index] for index in rows], train.embeddings[rows])
    probe = fit_probe((TRIPLE,), few, val)
    logits = val.embeddings @ probe.weight.T + probe.bias
    assert (logits.argmax(axis=1) != 2).all()
    assert probe.bias[2] == pytest.approx(-30.0)
