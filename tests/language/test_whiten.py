"""Whitening against its definition and against scikit-learn's PCA."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from acula_edge.language.whiten import centring, whitening


def embeddings(n: int, d: int) -> NDArray[np.float32]:
    """Correlated rows around a large common part, as reports have."""
    generator = np.random.default_rng(n * 1000 + d)
    mix = generator.normal(size=(d, d)) + 3 * np.eye(d)
    return (generator.normal(size=(n, d)) @ mix + 20).astype(np.float32)


def test_centring_moves_the_training_mean_to_zero_and_nothing_else() -> None:
    train, other = embeddings(50, 8), embeddings(10, 8)
    centre = centring(train)
    np.testing.assert_allclose(centre(train).mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(centre(other), other - train.mean(axis=0), atol=1e-5)
    assert centre(other).dtype == np.float32


def test_whitened_training_rows_have_identity_covariance() -> None:
    train = embeddings(400, 8)
    white = whitening(train)(train).astype(np.float64)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(white.T, bias=True), np.eye(8), atol=1e-3)


def test_distances_equal_those_of_another_implementation() -> None:
    train, other = embeddings(400, 8), embeddings(20, 8)
    pca = PCA(whiten=True).fit(train.astype(np.float64))
    theirs = pca.transform(other.astype(np.float64)) * np.sqrt(400 / 399)  # scikit-learn divides by n - 1
    ours = whitening(train)(other)

    def distances(x: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.linalg.norm(x[:, None] - x[None], axis=-1)

    np.testing.assert_allclose(distances(ours), distances(theirs), rtol=1e-3, atol=1e-3)


def test_the_matrix_is_symmetric() -> None:
    matrix = whitening(embeddings(400, 8)).matrix
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)


def test_fewer_texts_than_dimensions_stay_bounded() -> None:
    train = embeddings(5, 64)
    white = whitening(train)(train)
    assert np.isfinite(white).all()
    variance = np.linalg.eigvalsh(np.cov(white.T, bias=True))
    np.testing.assert_allclose(variance[-4:], 1, atol=1e-2)  # five rows span four directions
    np.testing.assert_allclose(variance[:-4], 0, atol=1e-2)


def test_one_repeated_text_gives_zeros() -> None:
    train = np.ones((4, 6), dtype=np.float32)
    assert np.array_equal(whitening(train)(train), np.zeros((4, 6), dtype=np.float32))


@pytest.mark.parametrize("bad", [np.empty((0, 4)), np.ones(4), np.full((2, 4), np.nan)])
@pytest.mark.parametrize("fit", [centring, whitening])
def test_nothing_to_learn_from_is_refused(fit: object, bad: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="finite"):
        fit(bad)  # type: ignore[operator]
