"""Alignment losses against independent closed forms."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, log_softmax

from acula_edge.teacher.config import Alignment
from acula_edge.teacher.losses import (
    AlignmentLoss,
    cka_loss,
    cka_unbiased_loss,
    hsic_unbiased,
    infonce_loss,
    released_loss,
    siglip_loss,
)

SEEDS = st.integers(0, 10**6)


def _features(seed: int, n: int = 24, p: int = 7, q: int = 11) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, p)), rng.normal(size=(n, q))


def _tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in arrays]


def _related(seed: int = 2, n: int = 48, d: int = 16) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Audio, its text, and the texts in another order."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    y = x + 0.3 * rng.normal(size=(n, d))
    return tuple(_tensors(x, y, y[rng.permutation(n)]))  # type: ignore[return-value]


def _rotation(d: int) -> torch.Tensor:
    return torch.linalg.qr(
        torch.randn(d, d, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    )[0]


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


def _hsic_1(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al. 2012, equation 5, word by word."""
    n = len(x)
    k, m = x @ x.T, y @ y.T
    np.fill_diagonal(k, 0.0)
    np.fill_diagonal(m, 0.0)
    one = np.ones(n)
    middle = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    return float((np.trace(k @ m) + middle - 2 / (n - 2) * one @ k @ m @ one) / (n * (n - 3)))


@given(SEEDS)
def test_cka_equals_two_independent_forms(seed: int) -> None:
    x, y = _features(seed)
    loss = float(cka_loss(*_tensors(x, y)))
    assert loss == pytest.approx(1 - _cka_by_hsic(x, y), abs=1e-10)
    assert loss == pytest.approx(1 - _cka_by_features(x, y), abs=1e-10)


@given(SEEDS, st.integers(4, 30))
def test_unbiased_forms_equal_the_papers(seed: int, n: int) -> None:
    x, y = _features(seed, n)
    assert float(hsic_unbiased(*_tensors(x, y))) == pytest.approx(_hsic_1(x, y), rel=1e-9, abs=1e-10)
    expected = 1 - _hsic_1(x, y) / np.sqrt(_hsic_1(x, x) * _hsic_1(y, y))
    assert float(cka_unbiased_loss(*_tensors(x, y))) == pytest.approx(expected, abs=1e-9)


def test_unbiased_hsic_of_all_minibatches_averages_to_that_of_the_whole() -> None:
    x, y = _features(5, n=9)
    means = [
        float(hsic_unbiased(*_tensors(x[list(rows)], y[list(rows)]))) for rows in combinations(range(9), 5)
    ]
    assert np.mean(means) == pytest.approx(_hsic_1(x, y), rel=1e-10)


def test_unrelated_wide_features_agree_by_plain_cka_and_not_by_the_unbiased_one() -> None:
    losses = [_tensors(*_features(seed, n=24, p=200, q=200)) for seed in range(40)]
    assert np.mean([float(1 - cka_loss(x, y)) for x, y in losses]) > 0.8
    assert abs(np.mean([float(1 - cka_unbiased_loss(x, y)) for x, y in losses])) < 0.03


@pytest.mark.parametrize("loss", [cka_loss, cka_unbiased_loss])
def test_cka_ignores_rotation_scale_and_offset_and_only_those(loss) -> None:  # type: ignore[no-untyped-def]
    x, y = _tensors(*_features(1))
    plain = loss(x, y)
    assert torch.allclose(loss(x, 3.0 * y @ _rotation(11) + 5.0), plain, atol=1e-12)
    assert torch.allclose(loss(1e-6 * x, y), plain, atol=1e-9)
    assert not torch.allclose(
        loss(x, y * torch.linspace(0.1, 3.0, 11, dtype=torch.float64)), plain, atol=1e-3
    )
    assert float(loss(x, x)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("alignment", list(Alignment))
def test_shuffled_pairs_change_every_loss_but_the_released_form(alignment: Alignment) -> None:
    audio, text, other = _related()
    loss = AlignmentLoss(alignment).requires_grad_(False)
    true, shuffled = float(loss(audio, text)), float(loss(audio, other))
    if alignment is Alignment.RELEASED:
        assert shuffled == pytest.approx(true, abs=1e-12)
    else:
        assert shuffled > true + 0.3
    order = torch.randperm(48, generator=torch.Generator().manual_seed(1))
    assert float(loss(audio[order], text[order])) == pytest.approx(true, abs=1e-9)


def test_released_form_against_numpy() -> None:
    x, y = _features(3, n=20, p=6, q=6)
    cx, cy = np.cov(x.T, bias=True), np.cov(y.T, bias=True)
    expected = 1 - (cx * cy).sum() / (np.linalg.norm(cx) * np.linalg.norm(cy))
    assert float(released_loss(*_tensors(x, y))) == pytest.approx(expected, abs=1e-12)


def _cosines(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    unit = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in (x, y)]
    return unit[0] @ unit[1].T


@given(SEEDS, st.floats(-1, 6))
def test_infonce_against_numpy(seed: int, log_scale: float) -> None:
    x, y = _features(seed, n=9, p=5, q=5)
    logits = min(np.exp(log_scale), 100.0) * _cosines(x, y)
    picks = (np.diag(log_softmax(logits, axis=axis)).mean() for axis in (0, 1))
    loss = infonce_loss(*_tensors(x, y), torch.tensor(log_scale, dtype=torch.float64))
    assert float(loss) == pytest.approx(-np.mean(list(picks)), rel=1e-9, abs=1e-9)


@given(SEEDS, st.floats(-1, 3), st.floats(-12, 2))
def test_siglip_against_numpy(seed: int, log_scale: float, bias: float) -> None:
    x, y = _features(seed, n=9, p=5, q=5)
    chance = expit(np.exp(log_scale) * _cosines(x, y) + bias)
    own = np.eye(9, dtype=bool)
    expected = -(np.log(chance[own]).sum() + np.log1p(-chance[~own]).sum()) / 9
    scalars = [torch.tensor(value, dtype=torch.float64) for value in (log_scale, bias)]
    assert float(siglip_loss(*_tensors(x, y), *scalars)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("alignment", "names"),
    [(Alignment.CKA, []), (Alignment.INFONCE, ["log_scale"]), (Alignment.SIGLIP, ["bias", "log_scale"])],
)
def test_learned_scalars_get_gradients(alignment: Alignment, names: list[str]) -> None:
    audio, text, _ = _related()
    loss = AlignmentLoss(alignment)
    if names:
        loss(audio, text).backward()
    learned = dict(loss.named_parameters())
    assert sorted(learned) == [f"learned.{name}" for name in names]
    assert all(float(value.grad.abs()) > 0 for value in learned.values() if value.grad is not None)
    assert all(value.grad is not None for value in learned.values())


@pytest.mark.parametrize("loss", [cka_loss, cka_unbiased_loss, released_loss])
def test_gradient_agrees_with_finite_differences(loss) -> None:  # type: ignore[no-untyped-def]
    x, y = _tensors(*_features(4, n=7, p=4, q=4))
    assert torch.autograd.gradcheck(lambda audio: loss(audio, y), x.requires_grad_())


@pytest.mark.parametrize("loss", [cka_loss, cka_unbiased_loss])
@pytest.mark.parametrize("offset", [0.0, 1.0, 3333.3])
def test_constant_features_agree_with_nothing_and_send_nothing_back(loss, offset: float) -> None:  # type: ignore[no-untyped-def]
    text = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    constant = (torch.full((8, 3), offset) * torch.tensor([1.0, 0.1, -0.7])).requires_grad_()
    value = loss(constant, text)
    value.backward()
    assert float(value.detach()) == pytest.approx(1.0)
    assert text.grad is not None
    assert torch.equal(text.grad, torch.zeros(8, 4))
    assert constant.grad is not None
    assert bool(constant.grad.isfinite().all())
