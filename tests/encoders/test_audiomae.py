"""AudioMAE: features against Kaldi's as transformers computes them, weights against a plain ViT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from transformers.audio_utils import mel_filter_bank

from acula_edge.contract import AudioContract
from acula_edge.data.audio import resample, to_float32
from acula_edge.encoders.audiomae import AudioMAEEncoder, load_audiomae, patches_of
from acula_edge.encoders.kaldi import kaldi_filters
from acula_edge.encoders.registry import empty
from acula_edge.errors import ArtifactError
from acula_edge.progress import silenced
from tests.recordings import RATE_HZ, some_clips

WIDTH, LAYERS = 128, 3
MAX_FEATURE_ERROR = 2e-3  # of values from -1.3 to 1.3; the logarithm of near silence magnifies rounding


def heard(n: int = 3) -> NDArray[np.float32]:
    return np.stack([resample(to_float32(clip), RATE_HZ, 16000) for clip in some_clips(n)])


def _timm_state(generator: torch.Generator) -> dict[str, Tensor]:
    """Random weights in the layout of timm's ViT, as the published checkpoint has it."""

    def draw(*shape: int) -> Tensor:
        return 0.1 * torch.randn(*shape, generator=generator)

    state = {"cls_token": draw(1, 1, WIDTH), "pos_embed": draw(1, 513, WIDTH)}
    sizes = {"patch_embed.proj": (WIDTH, 1, 16, 16), "norm": (WIDTH,)}
    for at in (f"blocks.{index}." for index in range(LAYERS)):
        sizes |= {f"{at}norm1": (WIDTH,), f"{at}norm2": (WIDTH,)}
        sizes |= {f"{at}attn.qkv": (3 * WIDTH, WIDTH), f"{at}attn.proj": (WIDTH, WIDTH)}
        sizes |= {f"{at}mlp.fc1": (4 * WIDTH, WIDTH), f"{at}mlp.fc2": (WIDTH, 4 * WIDTH)}
    for name, shape in sizes.items():
        state[f"{name}.weight"] = draw(*shape) + (1.0 if "norm" in name else 0.0)
        state[f"{name}.bias"] = draw(shape[0])
    return state


def _plain_vit(state: dict[str, Tensor], features: Tensor) -> Tensor:
    """timm's forward pass written out: (1024, 128) -> (513, width)."""

    def linear(x: Tensor, at: str) -> Tensor:
        return x @ state[f"{at}.weight"].T + state[f"{at}.bias"]

    def norm(x: Tensor, at: str) -> Tensor:
        return F.layer_norm(x, (WIDTH,), state[f"{at}.weight"], state[f"{at}.bias"], eps=1e-6)

    tiles = [
        features[16 * t : 16 * t + 16, 16 * f : 16 * f + 16].flatten() for t in range(64) for f in range(8)
    ]
    kernel = state["patch_embed.proj.weight"].reshape(WIDTH, 256)
    x = torch.cat([state["cls_token"][0], torch.stack(tiles) @ kernel.T + state["patch_embed.proj.bias"]])
    x = x + state["pos_embed"][0]
    for at in (f"blocks.{index}." for index in range(LAYERS)):
        query, key, value = linear(norm(x, f"{at}norm1"), f"{at}attn.qkv").reshape(513, 3, -1, 64).unbind(1)
        scores = torch.einsum("qhd,khd->hqk", query, key) / 8.0
        mixed = torch.einsum("hqk,khd->qhd", scores.softmax(2), value).reshape(513, WIDTH)
        x = x + linear(mixed, f"{at}attn.proj")
        x = x + linear(F.gelu(linear(norm(x, f"{at}norm2"), f"{at}mlp.fc1")), f"{at}mlp.fc2")
    return norm(x, "norm")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("audiomae")
    save_file(_timm_state(torch.Generator().manual_seed(0)), root / "model.safetensors")
    return root


def test_features_equal_transformers_kaldi_features() -> None:
    with silenced():
        extractor = transformers.ASTFeatureExtractor()
        expected = extractor(list(heard()), sampling_rate=16000, return_tensors="np")["input_values"]
    features = AudioMAEEncoder(WIDTH, 1).trunk(torch.from_numpy(heard())).numpy()
    assert features.shape == (3, 1024, 128)
    assert np.abs(features - expected).max() < MAX_FEATURE_ERROR


def test_mel_filters_equal_transformers() -> None:
    with silenced():
        expected = mel_filter_bank(
            257, 128, 20, 8000, 16000, mel_scale="kaldi", triangularize_in_mel_space=True
        )
    assert np.abs(kaldi_filters(128).numpy() - expected).max() < 1e-9


def test_timm_weights_give_what_a_plain_vit_gives(folder: Path) -> None:
    encoder = load_audiomae(folder)
    assert encoder.dim == WIDTH
    waveform = torch.from_numpy(heard())
    for features, clip in zip(encoder.trunk(waveform), waveform, strict=True):
        patches = _plain_vit(load_file(folder / "model.safetensors"), features)[1:]
        with torch.no_grad():
            frames = encoder.frames(clip[None])[0]
            embedding = encoder.embed(clip[None])[0]
        assert (frames - patches.reshape(64, 8, WIDTH).mean(1)).abs().max() < 1e-4
        assert (embedding - patches.mean(0)).abs().max() < 1e-4


def test_a_classifiers_normalisation_has_another_name(folder: Path, tmp_path: Path) -> None:
    state = load_file(folder / "model.safetensors")
    save_file({name.replace("norm.", "fc_norm."): value for name, value in state.items()}, tmp_path / "m")
    (tmp_path / "m").rename(tmp_path / "model.safetensors")
    assert torch.equal(load_audiomae(tmp_path).vit.layernorm.weight, state["norm.weight"])


def test_patches_are_in_the_order_of_the_tokens() -> None:
    features = torch.arange(1024 * 128.0).reshape(1, 1024, 128)
    patches = patches_of(features)
    assert torch.equal(patches[0, 8 * 5 + 3].reshape(16, 16), features[0, 80:96, 48:64])
    encoder = AudioMAEEncoder(WIDTH, 1)
    projection = encoder.vit.embeddings.patch_embeddings
    expected = F.linear(patches / 1e5, projection.projection.weight.flatten(1), projection.projection.bias)
    assert torch.allclose(projection(features[None] / 1e5), expected, atol=1e-4)


def test_visible_patches_alone_are_encoded_as_in_the_whole(folder: Path) -> None:
    encoder = load_audiomae(folder)
    features = encoder.trunk(torch.from_numpy(heard(1)))
    everything = torch.randperm(512, generator=torch.Generator().manual_seed(0))[None]
    with torch.no_grad():
        shuffled = encoder._encode(features, everything)
        whole = encoder.vit(features[None]).last_hidden_state[:, 1:]
    assert torch.allclose(shuffled, whole[:, everything[0]], atol=1e-4)


def test_masked_loss_is_one_for_a_decoder_that_says_zero_and_training_lowers_it() -> None:
    torch.manual_seed(0)
    encoder = AudioMAEEncoder(WIDTH, 1)
    waveform = torch.from_numpy(heard(3))
    views = encoder.ssl_views(waveform, torch.empty(3, 64, WIDTH))
    values = encoder.decoder.values
    before = {name: value.clone() for name, value in values.state_dict().items()}
    values.load_state_dict({name: torch.zeros_like(value) for name, value in before.items()})
    noise = 0.1 * torch.randn(2, 170_000)
    loss = encoder.ssl_loss(*encoder.ssl_views(noise, torch.empty(2, 64, WIDTH)))
    assert float(loss.detach()) == pytest.approx(255 / 256, abs=1e-3)  # the variance is the unbiased one
    values.load_state_dict(before)
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=1e-3)
    losses = []
    for _ in range(10):
        optimiser.zero_grad()
        loss = encoder.ssl_loss(*views)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-3:]) < 0.9 * losses[0]


def test_the_loss_is_seeded_and_reaches_every_weight() -> None:
    encoder = AudioMAEEncoder(WIDTH, 2)
    views = encoder.ssl_views(torch.from_numpy(heard(2)), torch.empty(2, 64, WIDTH))
    torch.manual_seed(3)
    first = encoder.ssl_loss(*views)
    torch.manual_seed(3)
    assert torch.equal(encoder.ssl_loss(*views), first)
    first.backward()
    assert all(value.grad is not None and bool(value.grad.abs().sum() > 0) for value in encoder.parameters())


def test_published_size_and_the_frozen_part() -> None:
    encoder = empty("audiomae", AudioContract())
    assert (
        sum(value.numel() for value in encoder.vit.parameters())
        == 12 * 7_087_872 + 393_984 + 197_376 + 1536 + 768
    )  # layers, positions, patches, norm, token
    encoder.freeze_trunk()
    trained = [name for name, value in encoder.vit.named_parameters() if value.requires_grad]
    assert {name.split(".")[1] for name in trained if name.startswith("layers.")} == {"8", "9", "10", "11"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("blocks.1.attn.qkv.bias"), r"Missing.*layers\.1\.attention\.q_proj\.bias"),
        (lambda state: state.update(extra=torch.ones(1)), r"Unexpected.*extra"),
        (
            lambda state: state.update(pos_embed=torch.ones(1, 512, WIDTH)),
            "size mismatch.*position_embeddings",
        ),
        (lambda state: state.pop("cls_token"), "cls_token"),
    ],
)
def test_another_layout_is_refused(folder: Path, tmp_path: Path, change: object, message: str) -> None:
    state = load_file(folder / "model.safetensors")
    change(state)  # type: ignore[operator]
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ArtifactError, match=message):
        load_audiomae(tmp_path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0not json")
    with pytest.raises(ArtifactError, match="is not AudioMAE in timm's form"):
        load_audiomae(tmp_path)
