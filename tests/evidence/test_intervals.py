"""Bootstrap intervals against an independent implementation, and what they must be by construction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from acula_edge.data.recording import Recording, Split
from acula_edge.data.tasks import KNOWN_TASKS
from acula_edge.evidence.cohort import Cohort, Member
from acula_edge.evidence.intervals import Draws, mean_draws, resample, task_draws, weighted_auroc

TASKS = {task.name: task for task in KNOWN_TASKS}
ADVENTITIOUS, TYPE, COUGH = TASKS["spr_adventitious"], TASKS["spr_type"], TASKS["cough"]


def patients(
    seed: int, n_patients: int, per_patient: int, effect: float, dataset: str = "sprsound"
) -> tuple[Cohort, np.ndarray]:
    """A cohort with one label a patient, and scores (n, 1) that share a patient's own offset."""
    rng = np.random.default_rng(seed)
    members, scores = [], []
    task = ADVENTITIOUS if dataset == "sprsound" else COUGH
    for patient in range(n_patients):
        label = patient % 2
        offset = rng.normal()
        for take in range(per_patient):
            name = f"{dataset}/p{patient}_{take}"
            members.append(Member(name, dataset, f"p{patient}", True, {task.name: label}))
            scores.append(effect * label + offset + 0.3 * rng.normal())
    return Cohort(tuple(members)), np.array(scores)[:, None]


@given(st.lists(st.tuples(st.integers(-2, 2), st.booleans(), st.integers(0, 3)), min_size=1, max_size=30))
def test_weighted_auroc_is_the_auroc_of_repeated_rows(rows: list[tuple[int, bool, int]]) -> None:
    scores, positive, counts = (np.array(column) for column in zip(*rows, strict=True))
    found = weighted_auroc(scores.astype(float), positive.astype(bool), counts[None].astype(np.int64))[0]
    repeated_scores, repeated = np.repeat(scores, counts), np.repeat(positive, counts)
    if repeated.all() or not repeated.any():
        assert np.isnan(found)
    else:
        assert found == pytest.approx(roc_auc_score(repeated, repeated_scores), abs=1e-12)


def test_a_patients_recordings_are_drawn_together() -> None:
    cohort, _ = patients(0, n_patients=15, per_patient=4, effect=1.0)
    weights = resample(cohort, 200, seed=3)
    by_patient = weights.reshape(200, 15, 4)
    assert (by_patient == by_patient[:, :, :1]).all()
    assert (by_patient[:, :, 0].sum(axis=1) == 15).all()
    assert len({tuple(row) for row in weights.tolist()}) > 190


def test_resamples_repeat_and_do_not_depend_on_other_data_sets() -> None:
    one, _ = patients(0, 10, 2, 1.0)
    other, _ = patients(1, 12, 3, 1.0, dataset="esc50_cough")
    both = Cohort((*other.members, *one.members))
    np.testing.assert_array_equal(resample(one, 100, 5), resample(one, 100, 5))
    np.testing.assert_array_equal(resample(both, 100, 5)[:, len(other.members) :], resample(one, 100, 5))
    assert (resample(one, 100, 5) != resample(one, 100, 6)).any()


def test_interval_is_that_of_a_plain_patient_bootstrap() -> None:
    cohort, scores = patients(2, n_patients=40, per_patient=3, effect=1.0)
    estimate = task_draws(ADVENTITIOUS, scores, cohort, resample(cohort, 4000, 0)).estimate()
    labels = cohort.labels(ADVENTITIOUS.name)
    rng = np.random.default_rng(99)
    drawn = []
    for _ in range(4000):  # the textbook loop: draw patients, take all their rows
        chosen = rng.integers(0, 40, 40)
        rows = np.concatenate([np.arange(3 * patient, 3 * patient + 3) for patient in chosen])
        positive, negative = scores[rows[labels[rows] == 1]], scores[rows[labels[rows] == 0]]
        drawn.append(np.mean(positive > negative.T))
    low, high = stats.scoreatpercentile(drawn, [2.5, 97.5])
    assert estimate.value == pytest.approx(roc_auc_score(labels, scores[:, 0]))
    assert estimate.low == pytest.approx(low, abs=0.012)  # 3 Monte-Carlo errors of a 2.5 % point
    assert estimate.high == pytest.approx(high, abs=0.012)


def test_intervals_cover_the_true_value() -> None:
    truth = float(stats.norm.cdf(1.0 / np.sqrt(2 * (1 + 0.3**2))))
    covered = 0
    for seed in range(200):
        cohort, scores = patients(seed, n_patients=60, per_patient=2, effect=1.0)
        estimate = task_draws(ADVENTITIOUS, scores, cohort, resample(cohort, 300, seed)).estimate()
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= truth <= estimate.high
    assert 0.88 <= covered / 200 <= 0.99


def test_drawing_recordings_instead_of_patients_would_be_too_sure() -> None:
    cohort, scores = patients(4, n_patients=30, per_patient=8, effect=1.0)
    alone = Cohort(tuple(Member(m.id, m.dataset, m.id, False, m.labels) for m in cohort.members))
    wide = task_draws(ADVENTITIOUS, scores, cohort, resample(cohort, 500, 0)).estimate()
    narrow = task_draws(ADVENTITIOUS, scores, alone, resample(alone, 500, 0)).estimate()
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)  # type: ignore[operator]


def test_differences_are_paired() -> None:
    cohort, scores = patients(5, n_patients=30, per_patient=3, effect=1.0)
    weights = resample(cohort, 500, 0)
    draws = task_draws(ADVENTITIOUS, scores, cohort, weights)
    same = (draws - task_draws(ADVENTITIOUS, scores * 2 + 1, cohort, weights)).estimate()
    assert (same.value, same.low, same.high) == (0, 0, 0)
    nearly = scores + 0.1 * np.random.default_rng(0).normal(size=scores.shape)
    difference = (draws - task_draws(ADVENTITIOUS, nearly, cohort, weights)).estimate()
    alone = draws.estimate()
    assert difference.high - difference.low < 0.3 * (alone.high - alone.low)  # type: ignore[operator]


def test_mean_over_tasks_keeps_the_correlation_of_shared_patients() -> None:
    cohort, scores = patients(6, n_patients=30, per_patient=2, effect=1.0)
    draws = task_draws(ADVENTITIOUS, scores, cohort, resample(cohort, 400, 0))
    twice = mean_draws([draws, draws]).estimate()
    assert twice == draws.estimate()  # two equal tasks on the same patients: nothing averages out
    flipped = Draws(1 - draws.value, 1 - draws.resampled, draws.patients)
    none = mean_draws([draws, flipped])
    np.testing.assert_allclose(none.resampled, 0.5)


def test_mean_leaves_out_a_task_with_one_class_only() -> None:
    cohort, scores = patients(7, n_patients=20, per_patient=2, effect=1.0)
    weights = resample(cohort, 200, 0)
    draws = task_draws(ADVENTITIOUS, scores, cohort, weights)
    absent = task_draws(COUGH, scores, cohort, weights)
    assert absent.estimate().value is None
    assert mean_draws([draws, absent]).estimate() == draws.estimate()
    assert mean_draws([absent]).estimate().value is None


def test_mean_leaves_out_a_task_whose_class_is_one_patient() -> None:
    """Else the mean of ten tasks had no interval for the sake of one, or one that is too narrow."""
    draws = Draws(0.7, np.random.default_rng(0).normal(0.7, 0.05, 200), 9)
    lonely = Draws(0.9, np.full(200, 0.9), 1)
    assert mean_draws([draws, lonely]).estimate() == draws.estimate()
    alone = mean_draws([lonely, lonely]).estimate()
    assert (alone.value, alone.low) == (pytest.approx(0.9), None)


def test_resamples_without_a_class_are_counted() -> None:
    members = [Member(f"r{i}", "sprsound", f"p{i}", True, {ADVENTITIOUS.name: int(i < 2)}) for i in range(10)]
    cohort = Cohort(tuple(members))
    weights = resample(cohort, 1000, 0)
    estimate = task_draws(ADVENTITIOUS, np.arange(10.0)[:, None], cohort, weights).estimate()
    lost = (weights[:, :2].sum(axis=1) == 0).sum()
    assert estimate.degenerate == lost
    assert lost == pytest.approx(1000 * 0.8**10, rel=0.3)
    assert estimate.low is not None


def test_mean_keeps_its_level_where_a_resample_lacks_a_task() -> None:
    high = Draws(0.9, np.array([0.92, np.nan, 0.88, np.nan]), 5)
    low = Draws(0.5, np.array([0.52, 0.53, np.nan, np.nan]), 5)
    mean = mean_draws([high, low])
    np.testing.assert_allclose(mean.resampled, [0.72, 0.73, 0.68, np.nan])
    assert mean.value == pytest.approx(0.7)


def test_one_patient_or_one_class_gives_no_interval() -> None:
    labels = {ADVENTITIOUS.name: 0}
    single = Cohort(
        tuple(Member(f"r{i}", "sprsound", "p", True, {ADVENTITIOUS.name: i % 2}) for i in range(6))
    )
    estimate = task_draws(ADVENTITIOUS, np.arange(6.0)[:, None], single, resample(single, 100, 0)).estimate()
    assert estimate.value is not None
    assert (estimate.low, estimate.high) == (None, None)
    lone = Cohort(
        tuple(Member(f"r{i}", "sprsound", f"p{i}", True, {ADVENTITIOUS.name: int(i == 0)}) for i in range(6))
    )
    lonely = task_draws(ADVENTITIOUS, np.arange(6.0)[:, None], lone, resample(lone, 100, 0)).estimate()
    assert (lonely.value, lonely.low) == (0, None)
    rows = [Member(f"r{i}", "sprsound", f"p{i}", True, labels) for i in range(6)]
    one_class = Cohort(tuple(rows))
    none = task_draws(
        ADVENTITIOUS, np.arange(6.0)[:, None], one_class, resample(one_class, 100, 0)
    ).estimate()
    assert (none.value, none.low, none.high, none.degenerate) == (None, None, None, 100)


def test_macro_resamples_that_lost_a_class_are_left_out() -> None:
    rng = np.random.default_rng(8)
    labels = [0] * 12 + [1] * 12 + [2]
    members = [Member(f"r{i}", "sprsound", f"p{i}", True, {TYPE.name: k}) for i, k in enumerate(labels)]
    cohort = Cohort(tuple(members))
    weights = resample(cohort, 400, 0)
    draws = task_draws(TYPE, rng.normal(size=(25, 4)), cohort, weights)
    np.testing.assert_array_equal(np.isnan(draws.resampled), weights[:, 24] == 0)
    full = task_draws(TYPE, rng.normal(size=(25, 4)), cohort, np.ones((1, 25), dtype=np.int64))
    assert full.resampled[0] == pytest.approx(full.value)


def test_a_recording_without_a_named_patient_is_drawn_by_itself() -> None:
    def recording(name: str, patient: str, group: str) -> Recording:
        return Recording(name, name, "sprsound", patient, group, Split.TEST, 4000, 0, 10, "")

    unnamed = Member.of_recording(recording("a", "", "whole-database"))
    named = Member.of_recording(recording("b", "p1", "p1"))
    assert (unnamed.unit, unnamed.named) == ("a", False)
    assert (named.unit, named.named) == ("p1", True)
