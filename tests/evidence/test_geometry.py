"""Geometry: known values, numpy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors

from acula_edge.evidence.geometry import cka, effective_rank, mean_cosine, neighbour_overlap


def test_effective_rank_of_known_matrices() -> None:
    assert effective_rank(np.eye(5)) == pytest.approx(5)
    assert effective_rank(np.ones((6, 4))) == pytest.approx(1)
    assert effective_rank(np.zeros((6, 4))) == 0
    assert effective_rank(np.diag([3.0, 1.0])) == pytest.approx(np.exp(entropy([0.75, 0.25])))


def test_effective_rank_does_not_depend_on_scale_or_rotation() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 8)) * np.arange(1, 9)
    turn, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    assert effective_rank(100 * x @ turn) == pytest.approx(effective_rank(x))
    assert 1 < effective_rank(x) < 8


def test_mean_cosine_is_that_of_all_pairs() -> None:
    x = np.random.default_rng(0).normal(loc=0.5, size=(20, 6)).astype(np.float32)
    expected = cosine_similarity(x)[~np.eye(20, dtype=bool)].mean()
    assert mean_cosine(x) == pytest.approx(expected, abs=1e-6)
    assert mean_cosine(np.array([[1.0, 2.0], [3.0, 6.0], [0.5, 1.0]])) == pytest.approx(1)
    assert mean_cosine(np.array([[1.0, 0.0], [-2.0, 0.0]])) == pytest.approx(-1)
    assert mean_cosine(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])) == pytest.approx(1 / 3)


def test_cka_is_its_definition_by_features() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(25, 4)).astype(np.float32)
    y = x @ rng.normal(size=(4, 7)) + rng.normal(size=(25, 7))
    a, b = (part.astype(np.float64) - part.mean(axis=0, dtype=np.float64) for part in (x, y))
    expected = np.linalg.norm(b.T @ a) ** 2 / np.linalg.norm(a.T @ a) / np.linalg.norm(b.T @ b)
    assert cka(x, y) == pytest.approx(expected)
    assert cka(x, 3 * x[:, ::-1] + 1) == pytest.approx(1)
    assert cka(x, np.ones((25, 3))) == 0


def test_cka_of_equal_rows_is_0_whatever_centring_leaves() -> None:
    x = np.random.default_rng(0).normal(size=(25, 4))
    assert cka(x, np.tile(np.float32([0.1, 0.7, 1e6]), (25, 1))) == 0


def test_neighbour_overlap_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 6))
    y = x + rng.normal(scale=0.5, size=x.shape)
    near = [
        NearestNeighbors(n_neighbors=10, metric="cosine").fit(part).kneighbors(return_distance=False)
        for part in (x, y)
    ]
    expected = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(*near, strict=True)])
    assert neighbour_overlap(x, y, 10) == pytest.approx(expected)
    assert 0.3 < expected < 0.95


def test_neighbour_overlap_at_its_ends() -> None:
    x = np.random.default_rng(1).normal(size=(12, 3))
    assert neighbour_overlap(x, 5 * x, 10) == 1
    assert neighbour_overlap(x, -x[::-1], 100) == 1
    circle = np.array([[np.cos(a), np.sin(a)] for a in (0.0, 0.1, 3.0, 3.1)])
    assert neighbour_overlap(circle, circle[[0, 2, 1, 3]], 1) == 0
