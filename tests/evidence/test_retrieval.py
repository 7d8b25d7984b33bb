"""Retrieval by hand, by brute force over orders of ties, and by scipy's hypergeometric distribution."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from acula_edge.evidence.retrieval import DEPTHS, Direction, retrieval


def test_by_hand() -> None:
    """Three recordings of two reports in the plane; the last one points to the other report."""
    texts = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    audio = np.array([[3.0, 1.0], [1.0, 2.0], [5.0, 1.0]])
    found = retrieval(audio, texts, ["x", "x", "y"])
    to_report, to_audio = found.audio_to_report, found.report_to_audio
    assert to_report.hits[:, 0].tolist() == [1, 0, 0]
    assert to_report.recall == {1: pytest.approx(1 / 3), 5: 1.0, 10: 1.0}
    assert (to_report.median_rank, to_report.candidates) == (2, 2)
    assert to_report.chance_recall[1] == pytest.approx(0.5)
    assert to_report.chance_median_rank == 1.5
    # x ranks the recordings 3, 1, 2: its best is second; y ranks them 2, 1, 3: its only one is last
    assert to_audio.hits.tolist() == [[0, 1, 1], [0, 1, 1]]
    assert (to_audio.median_rank, to_audio.candidates) == (2.5, 3)
    assert to_audio.chance_recall[1] == pytest.approx((2 / 3 + 1 / 3) / 2)


def test_perfect_pairs_are_first_and_their_ranks_are_numpys() -> None:
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(40, 8))
    names = [f"report {i}" for i in range(40)]
    assert retrieval(texts * 2, texts, names).audio_to_report.recall[1] == 1
    audio = texts + 0.8 * rng.normal(size=texts.shape)
    found = retrieval(audio, texts, names)
    cosines = audio @ texts.T / np.linalg.norm(audio, axis=1)[:, None] / np.linalg.norm(texts, axis=1)
    for direction, scores in ((found.audio_to_report, cosines), (found.report_to_audio, cosines.T)):
        ranks = (scores >= np.diag(scores)[:, None]).sum(axis=1)
        assert direction.median_rank == np.median(ranks)
        for depth in DEPTHS:
            assert direction.recall[depth] == pytest.approx((ranks <= depth).mean())


def test_an_encoder_that_maps_all_to_one_point_scores_exactly_chance() -> None:
    texts = np.random.default_rng(0).normal(size=(30, 8))
    reports = [f"report {i % 12}" for i in range(30)]
    texts = texts[[i % 12 for i in range(30)]]
    rounding = 1e-8 * np.random.default_rng(1).normal(size=(30, 8))
    found = retrieval(0.3 + rounding, np.full((30, 8), 0.7), reports)
    for direction in (found.audio_to_report, found.report_to_audio):
        assert direction.recall == pytest.approx(direction.chance_recall)
        assert direction.median_rank == direction.chance_median_rank
    collapsed_texts = retrieval(texts, np.ones((30, 8)), reports).audio_to_report
    assert collapsed_texts.recall == pytest.approx(collapsed_texts.chance_recall)


def test_chance_is_hypergeometric() -> None:
    reports = ["a"] * 9 + ["b"] * 4 + ["c"]
    points = np.random.default_rng(0).normal(size=(14, 4))
    chance = retrieval(points, points, reports).report_to_audio.chance_recall
    for depth in DEPTHS:
        expected = np.mean([1 - hypergeom(14, own, depth).pmf(0) for own in (9, 4, 1)])
        assert chance[depth] == pytest.approx(expected)


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=2, max_size=6), st.integers(1, 5))
def test_ties_are_the_mean_over_their_orders(cosines: list[float], n_own: int) -> None:
    """One report x, found among recordings of which the first `n_own` are its own."""
    n_own = min(n_own, len(cosines) - 1)
    audio = np.array([[value, np.sqrt(1 - value**2)] for value in cosines])
    reports = ["x"] * n_own + ["y"] * (len(cosines) - n_own)
    texts = np.array([[1.0, 0.0]] * n_own + [[0.0, 1.0]] * (len(cosines) - n_own))
    direction: Direction = retrieval(audio, texts, reports).report_to_audio
    firsts = []
    for order in permutations(range(len(cosines))):
        ranked = sorted(order, key=lambda item: -cosines[item])  # stable: ties stay in this order
        firsts.append(min(ranked.index(item) for item in range(n_own)))
    assert direction.hits[0] == pytest.approx([np.mean(np.array(firsts) < depth) for depth in DEPTHS])
