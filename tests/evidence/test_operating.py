"""Operating points against scikit-learn, and their intervals against a bootstrap by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, precision_score, recall_score

from acula_edge.data.tasks import ClassRule, Task
from acula_edge.evidence.accuracy import Panel, System
from acula_edge.evidence.cohort import Cohort, Member
from acula_edge.evidence.decisions import Decisions, Rule, TaskDecision
from acula_edge.evidence.intervals import resample
from acula_edge.evidence.operating import OperatingPoint, operating_points, operating_table

_CLASSES = tuple(ClassRule(name=name, values=(name,)) for name in ("no", "yes"))
_TASKS = (Task(name="a", dataset="d", classes=_CLASSES), Task(name="b", dataset="d", classes=_CLASSES))
_RULE = Rule(threshold=0.45, chosen_by="Youden index", abstain_from=0.4, abstain_to=0.55, coverage=0.9)
_DECISIONS = Decisions(
    tasks=(
        TaskDecision(task="a", temperature=2.0, rule=_RULE, counts=(5, 5)),
        TaskDecision(task="b", temperature=1.0, rule=None, counts=(5, 0)),
    )
)
_PANEL = Panel(systems=(System("float", "Float", ""), System("int8", "INT8", "")), comparisons=())
_RESAMPLES = 300


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    rng = np.random.default_rng(0)
    members = (
        Member(str(i), "d", f"patient {i // 3}", True, {"a": int(rng.random() < 0.4)} if i % 10 else {})
        for i in range(90)
    )
    return Cohort(tuple(members))


@pytest.fixture(scope="module")
def logits(cohort: Cohort) -> np.ndarray:
    rng = np.random.default_rng(1)
    truth = np.array([member.labels.get("a", 0) for member in cohort.members])
    return np.stack([4.0 * truth - 2 + 2 * rng.normal(size=90), rng.normal(size=90)], axis=1)


@pytest.fixture(scope="module")
def point(cohort: Cohort, logits: np.ndarray) -> OperatingPoint:
    found = operating_points(_TASKS, cohort, {"int8": logits}, _DECISIONS, _PANEL, _RESAMPLES, 0)
    (only,) = found
    return only


def test_values_are_scikit_learns(cohort: Cohort, logits: np.ndarray, point: OperatingPoint) -> None:
    rows, labels = cohort.rows("a"), cohort.labels("a")
    positive = 1 / (1 + np.exp(-logits[rows, 0] / 2.0))
    said = positive >= _RULE.threshold
    assert (point.system, point.title, point.task) == ("int8", "INT8", "a")
    assert point.sensitivity.value == pytest.approx(recall_score(labels, said))
    assert point.specificity.value == pytest.approx(recall_score(1 - labels, ~said))
    assert point.ppv.value == pytest.approx(precision_score(labels, said))
    assert point.brier.value == pytest.approx(brier_score_loss(labels, positive))
    edges = np.linspace(0, 1, 11)
    expected = 0.0
    for low, high in pairwise(edges):
        own = (positive >= low) & (positive < high)
        if own.any():
            expected += own.mean() * abs(positive[own].mean() - labels[own].mean())
    assert point.ece.value == pytest.approx(expected)
    band = (positive >= 0.4) & (positive <= 0.55)
    assert band.any()
    assert point.decided.value == pytest.approx(1 - band.mean())
    assert point.wrong.value == pytest.approx((said[~band] != (labels[~band] == 1)).mean())


def test_intervals_draw_patients(cohort: Cohort, logits: np.ndarray, point: OperatingPoint) -> None:
    weights = resample(cohort, _RESAMPLES, 0)
    rows, labels = cohort.rows("a"), cohort.labels("a")
    positive = 1 / (1 + np.exp(-logits[rows, 0] / 2.0))
    values: dict[str, list[float]] = {"sensitivity": [], "brier": []}
    for weight in weights[:, rows]:
        again = np.repeat(np.arange(len(rows)), weight)
        values["sensitivity"].append(recall_score(labels[again], positive[again] >= _RULE.threshold))
        values["brier"].append(brier_score_loss(labels[again], positive[again]))
    for name, found in values.items():
        low, high = np.percentile(found, [2.5, 97.5])
        estimate = getattr(point, name)
        assert (estimate.low, estimate.high) == (pytest.approx(low), pytest.approx(high))


def test_a_system_that_never_says_positive_has_no_ppv(cohort: Cohort, logits: np.ndarray) -> None:
    silent = np.full_like(logits, -50.0)
    found = operating_points(_TASKS, cohort, {"float": silent}, _DECISIONS, _PANEL, 100, 0)
    (point,) = found
    assert point.ppv.value is None
    assert (point.sensitivity.value, point.specificity.value) == (0, 1)


def test_the_table_puts_systems_of_one_task_together(cohort: Cohort, logits: np.ndarray) -> None:
    both = operating_points(_TASKS, cohort, {"float": logits, "int8": logits}, _DECISIONS, _PANEL, 100, 0)
    shown = operating_table(both)
    assert [row[1].text for row in shown.rows] == ["Float", "INT8"]
    assert {len(row) for row in shown.rows} == {len(shown.header)}
    assert shown.rows[0][2:] == shown.rows[1][2:]


def test_without_rules_nothing_is_calibrated_or_decided(logits: np.ndarray) -> None:
    plain = Decisions.without_rules(_TASKS)
    assert np.array_equal(plain.calibrated(_TASKS, logits), logits)
    assert plain.decide(_TASKS, logits[0]) == {}
    assert list(_DECISIONS.decide(_TASKS, logits[0])) == ["a"]
