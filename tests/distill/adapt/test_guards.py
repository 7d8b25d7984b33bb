"""Guards: their measures against independent ones, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from acula_edge.errors import DataError, GateError
from acula_edge.students.space import TextSpace, unit_rows
from distill.adapt.config import AdaptConfig
from distill.adapt.exam import Mark, refused, require_teacher
from distill.adapt.guards import Agreement, agreement, drift, rank_correlation, refusals
from distill.adapt.holdout import split_recordings

GOOD = Agreement(loss=0.5, cosine=0.8, centred=0.6, rank=0.7)


@given(st.integers(0, 2**32 - 1), st.integers(3, 40), st.booleans())
def test_rank_correlation_is_spearmans(seed: int, n: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=(2, n, 3)).astype(np.float32)
    if ties:
        one, other = np.round(one), np.round(other)
    pairs = [(one[:, i], other[:, i]) for i in range(3)]
    wanted = [0.0 if np.ptp(x) == 0 or np.ptp(y) == 0 else spearmanr(x, y).statistic for x, y in pairs]
    assert rank_correlation(one, other) == pytest.approx(np.mean(wanted), abs=1e-6)


def test_agreement_is_full_with_oneself_and_collapse_earns_nothing() -> None:
    rng = np.random.default_rng(0)
    embedding = (rng.normal(size=(30, 8)) + 4).astype(np.float32)
    logits = rng.normal(size=(30, 3)).astype(np.float32)
    same = agreement(0.0, 2 * embedding, 3 * logits, embedding, logits)
    assert (same.cosine, same.centred, same.rank) == pytest.approx((1, 1, 1), abs=1e-5)
    alike = np.tile(embedding.mean(axis=0), (30, 1))
    collapsed = agreement(0.0, alike, np.zeros_like(logits), embedding, logits)
    assert collapsed.cosine > 0.9
    assert collapsed.centred == pytest.approx(0, abs=0.2)
    assert collapsed.rank == 0


@pytest.mark.parametrize("name", ["cosine", "centred", "rank"])
def test_an_update_that_lowers_one_measure_is_refused(name: str) -> None:
    better = Agreement(0.4, 0.81, 0.61, 0.71)
    assert refusals(better, GOOD) == []
    values = {**better.to_json(), name: getattr(GOOD, name) - 1e-4}
    (reason,) = refusals(Agreement(**values), GOOD)
    assert reason.startswith(name)
    assert refusals(Agreement(**{**values, name: np.nan}), GOOD)


def test_a_loss_that_does_not_fall_is_refused() -> None:
    assert refusals(GOOD, GOOD)
    assert refusals(Agreement(np.nan, 0.9, 0.9, 0.9), GOOD)


def test_drift_is_the_mean_change_of_the_worst_task() -> None:
    prototypes = {"one": np.eye(2, 4, dtype=np.float32), "two": np.eye(3, 4, dtype=np.float32)}
    space = TextSpace(np.eye(8, 4, dtype=np.float32), prototypes, 1.0)
    before, after = np.eye(4, dtype=np.float32)[[0, 1]], np.eye(4, dtype=np.float32)[[0, 3]]
    assert drift(space, ["one", "two", "unknown"], before, after) == pytest.approx(1 / 4)
    assert drift(space, ["two"], before, after) == pytest.approx(1 / 6)
    assert drift(space, ["one"], before, 5 * before) == 0
    assert drift(space, [], before, after) == 0


def test_text_scores_that_move_too_far_are_refused() -> None:
    config, better = AdaptConfig(max_drift=0.1), Agreement(0.4, 0.9, 0.9, 0.9)
    assert refused(Mark(better, 0.1), Mark(GOOD, 0.0), config) == []
    (reason,) = refused(Mark(better, 0.11), Mark(GOOD, 0.0), config)
    assert reason == "text scores moved by 0.110, more than 0.1"
    assert refused(Mark(better, np.nan), Mark(GOOD, 0.0), config)


@pytest.mark.parametrize("name", ["centred", "rank"])
def test_a_teacher_that_does_not_agree_is_none(name: str) -> None:
    config = AdaptConfig(min_agreement=0.2)
    require_teacher(Mark(GOOD, 0.0), config)
    with pytest.raises(GateError, match=f"{name} 0.190, at least 0.2"):
        require_teacher(Mark(Agreement(**{**GOOD.to_json(), name: 0.19}), 0.0), config)


@given(st.lists(st.integers(1, 6), min_size=4, max_size=40), st.integers(0, 9))
def test_all_clips_of_a_recording_judge_or_none(clips: list[int], seed: int) -> None:
    try:
        learning, judging = split_recordings(clips, 0.25, seed)
    except DataError:
        return
    assert sorted([*learning, *judging]) == list(range(sum(clips)))
    owner = np.repeat(np.arange(len(clips)), clips)
    assert not set(owner[learning]) & set(owner[judging])
    assert len(set(owner[judging])) == round(len(clips) / 4)
    again = split_recordings(clips, 0.25, seed)
    np.testing.assert_array_equal(again[1], judging)


@pytest.mark.parametrize("clips", [[9, 9, 9], [1] * 12])
def test_too_few_recordings_are_refused(clips: list[int]) -> None:
    with pytest.raises(DataError, match="give more recordings"):
        split_recordings(clips, 0.25, 0)


def test_unit_rows_of_a_zero_vector_do_not_poison_the_measures() -> None:
    zero = np.zeros((4, 3), np.float32)
    assert np.isfinite(agreement(0.0, zero, zero, unit_rows(np.ones((4, 3))), zero).cosine)
