"""Alignment losses against independent closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acula_edge.teacher.losses import cka_loss, released_loss


def _features(seed: int, n: int = 24, p: int = 7, q: int = 11) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, p)), rng.normal(size=(n, q))


def _cka_by_hsic(x: np.ndarray, y: np.ndarray) -> float:
    """CKA through HSIC with explicit centring matrices (Kornblith et al. 2019, equations 1 to 3)."""
    n = len(x)
    centre = np.eye(n) - np.ones((n, n)) / n

    def hsic(k: np.ndarray, m: np.ndarray) -> float:
        return float(np.trace(k @ centre @ m @ centre)) / (n - 1) ** 2

    k, m = x @ x.T, y @ y.T
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def _cka_by_features(x: np.ndarray, y: np.ndarray) -> float:
    """The feature-space form: |Y'X|^2 / (|X'X| |Y'Y|)."""
    x, y = x - x.mean(0), y - y.mean(0)
    norm = np.linalg.norm
    return float(norm(y.T @ x) ** 2 / (norm(x.T @ x) * norm(y.T @ y)))


@given(st.integers(0, 10**6))
def test_cka_equals_two_independent_forms(seed: int) -> None:
    x, y = _features(seed)
    loss = float(cka_loss(torch.from_numpy(x), torch.from_numpy(y)))
    assert loss == pytest.approx(1 - _cka_by_hsic(x, y), abs=1e-10)
    assert loss == pytest.approx(1 - _cka_by_features(x, y), abs=1e-10)


def test_cka_ignores_rotation_scale_and_offset_and_only_those() -> None:
    x, y = (torch.from_numpy(part) for part in _features(1))
    rotation = torch.linalg.qr(
        torch.randn(11, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    )[0]
    loss = cka_loss(x, y)
    assert torch.allclose(cka_loss(x, 3.0 * y @ rotation + 5.0), loss, atol=1e-12)
    stretched = y * torch.linspace(0.1, 3.0, 11, dtype=torch.float64)
    assert not torch.allclose(cka_loss(x, stretched), loss, atol=1e-3)
    assert float(cka_loss(x, x)) == pytest.approx(0.0, abs=1e-12)


def test_shuffled_pairs_change_cka_and_not_the_released_form() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(48, 16))
    y = x + 0.3 * rng.normal(size=(48, 16))
    shuffled = torch.from_numpy(y[rng.permutation(48)])
    audio, text = torch.from_numpy(x), torch.from_numpy(y)
    assert float(cka_loss(audio, text)) < 0.2
    assert float(cka_loss(audio, shuffled)) > 0.5
    assert float(released_loss(audio, shuffled)) == pytest.approx(
        float(released_loss(audio, text)), abs=1e-12
    )


def test_released_form_against_numpy() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(20, 6)), rng.normal(size=(20, 6))
    cx, cy = np.cov(x.T, bias=True), np.cov(y.T, bias=True)
    expected = 1 - (cx * cy).sum() / (np.linalg.norm(cx) * np.linalg.norm(cy))
    assert float(released_loss(torch.from_numpy(x), torch.from_numpy(y))) == pytest.approx(
        expected, abs=1e-12
    )


def test_gradient_agrees_with_finite_differences() -> None:
    x, y = (torch.from_numpy(part) for part in _features(4, n=6, p=3, q=4))
    assert torch.autograd.gradcheck(lambda audio: cka_loss(audio, y), x.requires_grad_())


def test_constant_features_give_a_finite_loss() -> None:
    loss = cka_loss(torch.ones(8, 3), torch.randn(8, 4, generator=torch.Generator().manual_seed(0)))
    assert float(loss) == pytest.approx(1.0)
