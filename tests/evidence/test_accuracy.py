"""Systems that were trained several times."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from acula_edge.data.tasks import ClassRule, Task
from acula_edge.evidence.accuracy import Panel, System, evaluate
from acula_edge.evidence.cohort import Cohort, Member
from acula_edge.evidence.sections import accuracy_table

TASK = Task(name="t", dataset="d", classes=tuple(ClassRule(name=n, values=(n,)) for n in "ab"))
PANEL = Panel(
    (System("once", "Once", "here"), System("runs", "Five runs", "here")), (("runs", "once", "chance"),)
)


def test_a_system_of_several_runs_is_scored_by_their_mean() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    members = [Member(f"r{i}", "d", f"p{i // 2}", True, {"t": int(k)}) for i, k in enumerate(labels)]
    runs = labels[:, None] + rng.normal(size=(5, 60, 1))
    found = evaluate((TASK,), Cohort(tuple(members)), {"once": runs[0], "runs": runs}, PANEL, 300, seed=0)
    scores = [roc_auc_score(labels, run[:, 0]) for run in runs]
    once, several = (system.tasks["t"] for system in found.systems)
    assert once.value == pytest.approx(scores[0])
    assert several.value == pytest.approx(np.mean(scores))
    gain = found.difference("runs", "once")
    assert gain is not None
    assert gain.mean.value == pytest.approx(np.mean(scores) - scores[0])


def test_equal_runs_have_the_interval_of_one() -> None:
    rng = np.random.default_rng(1)
    members = [Member(f"r{i}", "d", f"p{i}", True, {"t": i % 2}) for i in range(40)]
    one = rng.normal(size=(40, 1))
    logits = {"once": one, "runs": np.stack([one] * 3)}
    found = evaluate((TASK,), Cohort(tuple(members)), logits, PANEL, 300, seed=0)
    once, several = (system.tasks["t"] for system in found.systems)
    assert once.low is not None
    assert (several.low, several.high) == pytest.approx((once.low, once.high))


def test_the_mean_names_only_the_tasks_that_are_in_it() -> None:
    lone = TASK.model_copy(update={"name": "lone"})  # one class only: nothing to score
    members = [Member(f"r{i}", "d", f"p{i}", True, {"t": i % 2, "lone": 0}) for i in range(12)]
    logits = {"once": np.arange(24.0).reshape(12, 2)}
    found = evaluate((TASK, lone), Cohort(tuple(members)), logits, PANEL, 100, seed=0)
    *tasks, mean = accuracy_table(found).rows
    assert [(row[0].text, row[1].text) for row in tasks] == [("t", "0.583"), ("lone", "n/a")]
    assert (mean[0].detail, mean[1].text) == ("1 tasks", "0.583")
