"""OPERA-CT on a fabricated checkpoint, against CLAP's HTS-AT in transformers and OPERA's own formula."""

from __future__ import annotations

import math
import re

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F

from acula_edge.encoders.opera_ct import OperaCTEncoder, load_opera_ct
from tests.encoders.opera_checkpoints import draw, save, shapes
from tests.encoders.opera_helpers import heard, unreached

PREFIX = "encoder.encoder.htsat."
# Parts of OPERA's names, and what transformers calls them.
RENAMES = (
    (r"^bn0\.", "batch_norm."),
    (r"norm1\.", "layernorm_before."),
    (r"norm2\.", "layernorm_after."),
    (r"attn\.proj\.", "attention.output.dense."),
    (r"attn\.relative", "attention.self.relative"),
    (r"mlp\.fc1\.", "intermediate.dense."),
    (r"mlp\.fc2\.", "output.dense."),
)


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return draw(shapes("ct"))


@pytest.fixture(scope="module")
def encoder(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> OperaCTEncoder:
    return load_opera_ct(save(tmp_path_factory.mktemp("weights"), "ct", state))


@pytest.fixture(scope="module")
def original(state: dict[str, Tensor]) -> nn.Module:
    """transformers' HTS-AT with the same weights."""
    from transformers.models.clap.modeling_clap import ClapAudioEncoder

    config = transformers.ClapAudioConfig(
        patch_embeds_hidden_size=96, depths=[2, 2, 6, 2], num_attention_heads=[4, 8, 16, 32], window_size=8
    )
    model = ClapAudioEncoder(config).eval()
    model.load_state_dict(_in_transformers(state) | _constants(model))
    return model


def _in_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in state.items():
        if not name.startswith(PREFIX) or re.search("extractor|tscam|head|attn_mask|position_index", name):
            continue
        name = name.removeprefix(PREFIX)
        for pattern, replacement in RENAMES:
            name = re.sub(pattern, replacement, name)
        if ".attn.qkv." in name:
            for part, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                renamed[name.replace(".attn.qkv.", f".attention.self.{part}.")] = third
        else:
            renamed[name] = tensor
    return renamed


def _constants(model: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in model.state_dict().items() if "position_index" in name}


def test_published_size() -> None:
    table = shapes("ct")
    network = [
        math.prod(shape)
        for name, shape in table.items()
        if name.startswith(PREFIX) and not name.endswith(("attn_mask", "position_index"))
    ]
    assert 31.0e6 < sum(network) < 31.5e6  # as published: with its unused front end and AudioSet classifier
    own = OperaCTEncoder()
    assert sum(value.numel() for value in own.htsat.parameters()) == 27_534_488
    unused = sum(math.prod(table[name]) for name in table if re.search("extractor|tscam|htsat.head", name))
    running = 2 * 64 + 1
    assert sum(network) == 27_534_488 + unused + running


def test_frames_and_embedding_equal_transformers(encoder: OperaCTEncoder, original: nn.Module) -> None:
    waveforms = heard(2)
    with torch.no_grad():
        expected = original(encoder.mel(waveforms).unsqueeze(1), return_dict=True)
        frames = encoder.frames(waveforms)
        embedding = encoder.pool(frames)
    assert frames.shape == (2, 32, 768)
    assert embedding.shape == (2, encoder.dim) == (2, 768)
    assert (expected.pooler_output[0] - expected.pooler_output[1]).std() > 0.1
    assert torch.allclose(frames, expected.last_hidden_state.mean(2).transpose(1, 2), atol=2e-5)
    assert torch.allclose(embedding, expected.pooler_output, atol=1e-5)


def test_a_long_clip_equals_transformers_up_to_its_limit(
    encoder: OperaCTEncoder, original: nn.Module
) -> None:
    waveform = heard(1).repeat(1, 5)[:, : 1100 * 512]
    with torch.no_grad():
        expected = original(encoder.mel(waveform)[:, None, :1024], return_dict=True).pooler_output
        assert torch.allclose(encoder.embed(waveform), expected, atol=1e-5)


def test_a_stretch_of_time_is_repeated(encoder: OperaCTEncoder) -> None:
    with torch.no_grad():
        hidden = encoder.trunk(heard(1))
        assert hidden.shape == (1, 32, 2, 768)
        stretch = hidden[:, 5:17]
        frames = encoder.top(stretch)
        assert frames.shape == (1, 32, 768)
        repeated = torch.cat([stretch, stretch, stretch[:, :8]], dim=1)
        assert torch.equal(frames, encoder.top(repeated))


def test_similarity_is_operas(encoder: OperaCTEncoder, state: dict[str, Tensor]) -> None:
    generator = torch.Generator().manual_seed(1)
    views = torch.randn(2, 5, 768, generator=generator)
    first, second = (
        torch.tanh(
            F.layer_norm(
                view @ state["g.weight"].T + state["g.bias"],
                (512,),
                state["layer_norm.weight"],
                state["layer_norm.bias"],
            )
        )
        for view in views
    )
    logits = (first @ state["linear.weight"].T) @ second.T
    expected = F.cross_entropy(logits, torch.arange(5))
    assert torch.allclose(encoder.ssl_loss(*views), expected, rtol=1e-5)


def test_the_loss_is_at_chance_for_clips_that_are_alike_and_reaches_every_weight(
    encoder: OperaCTEncoder,
) -> None:
    trained = _copy(encoder)
    alike = heard(1).expand(3, -1)
    with torch.no_grad():
        chance = trained.ssl_loss(*trained.ssl_views(alike, trained.frames(alike)))
    assert float(chance) == pytest.approx(math.log(3), abs=1e-3)
    trained.ssl_loss(*trained.ssl_views(None, trained.frames(heard(2)))).backward()
    assert unreached(trained) == []


def test_a_frozen_trunk_leaves_the_last_stage(encoder: OperaCTEncoder) -> None:
    trained = _copy(encoder)
    trained.freeze_trunk()
    late = ("htsat.layers.3.", "htsat.norm.", "similarity.")
    learning = {name for name, value in trained.named_parameters() if value.requires_grad}
    assert learning == {name for name, _ in trained.named_parameters() if name.startswith(late)}


def _copy(encoder: OperaCTEncoder) -> OperaCTEncoder:
    copy = OperaCTEncoder().train()
    copy.load_state_dict(encoder.state_dict())
    return copy
