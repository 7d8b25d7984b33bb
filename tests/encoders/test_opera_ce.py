"""OPERA-CE on a fabricated checkpoint, against efficientnet_pytorch, the package that OPERA uses."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch
from efficientnet_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn import functional as F

from acula_edge.encoders.opera_ce import OperaCEEncoder, load_opera_ce
from tests.encoders.opera_checkpoints import draw, save, shapes
from tests.encoders.opera_helpers import heard, unreached

PREFIX = "encoder.efficientnet."


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return draw(shapes("ce"))


@pytest.fixture(scope="module")
def encoder(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> OperaCEEncoder:
    return load_opera_ce(save(tmp_path_factory.mktemp("weights"), "ce", state))


@pytest.fixture(scope="module")
def original(state: dict[str, Tensor]) -> nn.Module:
    """The package's network with the same weights, built as OPERA builds it."""
    net = EfficientNet.from_name("efficientnet-b0", include_top=False, drop_connect_rate=0.1)
    net.load_state_dict(
        {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}
    )
    return net.eval().double()


def test_published_size() -> None:
    own = OperaCEEncoder()
    network = sum(value.numel() for part in (own.cnn1, own.efficientnet) for value in part.parameters())
    assert network == 4_007_548 + 30
    assert 4.0e6 < network < 4.1e6


@pytest.mark.parametrize("seconds", [1, 8, 11])
def test_embedding_equals_the_package_that_opera_uses(
    encoder: OperaCEEncoder, original: nn.Module, state: dict[str, Tensor], seconds: int
) -> None:
    waveforms = heard(3).repeat(1, 2)[:, : seconds * 16000]
    with torch.no_grad():
        mel = encoder.mel(waveforms).double()
        kernel, bias = (state[f"encoder.cnn1.{part}"].double() for part in ("weight", "bias"))
        expected = original(F.conv2d(mel.unsqueeze(1), kernel, bias)).squeeze(3).squeeze(2)
        precise = deepcopy(encoder).double()
        embedding = precise.pool(precise.top(precise.early(mel)))
    assert embedding.shape == (3, encoder.dim) == (3, 1280)
    assert (expected[0] - expected[1]).std() > 1
    assert torch.allclose(embedding, expected, rtol=1e-9)
    # Rounding grows through sixteen blocks of random weights.
    assert (encoder.embed(waveforms) - expected).abs().max() < 1e-3 * expected.abs().max()


def test_frames_over_time(encoder: OperaCEEncoder) -> None:
    with torch.no_grad():
        hidden = encoder.trunk(heard(1))
        assert hidden.shape == (1, 15, 3, 112)
        assert encoder.top(hidden).shape == (1, 7, 1280)
        assert encoder.top(hidden[:, 4:6]).shape == (1, 1, 1280)


def test_a_clips_embedding_does_not_depend_on_its_neighbours_in_training(encoder: OperaCEEncoder) -> None:
    waveforms = heard(3)
    trained = _copy(encoder)
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    with torch.no_grad():
        alone, beside = encoder.embed(waveforms[:1]), trained.embed(waveforms)[:1]
        assert torch.allclose(beside, alone, rtol=1e-4, atol=1e-3)
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())


def test_the_loss_is_at_chance_for_clips_that_are_alike_and_reaches_every_weight(
    encoder: OperaCEEncoder,
) -> None:
    trained = _copy(encoder)
    alike = heard(1).expand(4, -1)
    with torch.no_grad():
        chance = trained.ssl_loss(*trained.ssl_views(alike, trained.frames(alike)))
    assert float(chance) == pytest.approx(math.log(4), abs=1e-3)
    trained.ssl_loss(*trained.ssl_views(None, trained.frames(heard(4)))).backward()
    assert unreached(trained) == []


def test_a_frozen_trunk_learns_nothing(encoder: OperaCEEncoder) -> None:
    trained = _copy(encoder)
    trained.freeze_trunk()
    trained.embed(heard(2)).square().sum().backward()
    learning = {name for name, _ in trained.named_parameters()} - set(unreached(trained))
    parts = ("_conv_head", "_bn1", *(f"_blocks.{index}" for index in range(11, 16)))
    late = tuple(f"efficientnet.{part}." for part in parts)
    assert learning == {name for name, _ in trained.named_parameters() if name.startswith(late)}


def _copy(encoder: OperaCEEncoder) -> OperaCEEncoder:
    copy = OperaCEEncoder().train()
    copy.load_state_dict(encoder.state_dict())
    return copy
