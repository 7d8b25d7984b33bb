"""OPERA-GT on a fabricated checkpoint, against its published forward pass written out in plain steps."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from acula_edge.encoders.opera_gt import OperaGTEncoder, load_opera_gt, tiles
from tests.encoders.opera_checkpoints import draw, save, shapes
from tests.encoders.opera_helpers import heard, unreached

TOKENS, SEEN = 1024, 307
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    return draw(shapes("gt"))


@pytest.fixture(scope="module")
def encoder(state: State, tmp_path_factory: pytest.TempPathFactory) -> OperaGTEncoder:
    return load_opera_gt(save(tmp_path_factory.mktemp("weights"), "gt", state))


def _linear(state: State, name: str, x: Tensor) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def _norm(state: State, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-6)


def _patches(state: State, mel: Tensor) -> Tensor:
    """(B, 256, 64) -> (B, 1024, 384): each 4 by 4 patch, time slowest, as one matrix product."""
    cut = F.unfold(mel.unsqueeze(1), kernel_size=4, stride=4).transpose(1, 2)
    embedded = cut @ state["patch_embed.proj.weight"].flatten(1).T + state["patch_embed.proj.bias"]
    return embedded + state["pos_embed"][:, 1:]


def _encode(state: State, tokens: Tensor) -> Tensor:
    """The class token and twelve of torch's own transformer layers."""
    first = (state["cls_token"] + state["pos_embed"][:, :1]).expand(len(tokens), -1, -1)
    hidden = torch.cat([first, tokens], dim=1)
    theirs = {
        "self_attn.in_proj_": "attn.qkv.",
        "self_attn.out_proj.": "attn.proj.",
        "linear1.": "mlp.fc1.",
        "linear2.": "mlp.fc2.",
        "norm1.": "norm1.",
        "norm2.": "norm2.",
    }
    for index in range(12):
        layer = nn.TransformerEncoderLayer(
            384, 6, 1536, 0.0, F.gelu, layer_norm_eps=1e-6, batch_first=True, norm_first=True
        )
        layer.load_state_dict(
            {
                own + kind: state[f"blocks.{index}.{name}{kind}"]
                for own, name in theirs.items()
                for kind in ("weight", "bias")
            }
        )
        hidden = layer.train()(hidden)  # without dropout; the other mode takes a fused kernel
    return hidden


def _published_mask() -> Tensor:
    """The mask of the published Swin block: picture 32 by 8, windows 4 by 4, shift (2, 0); (16, 16, 16)."""
    picture = torch.zeros(32, 8)
    count = 0
    for rows in (slice(0, -4), slice(-4, -2), slice(-2, None)):
        for columns in (slice(0, -4), slice(-4, 0), slice(0, None)):
            picture[rows, columns] = count
            count += 1
    windows = picture.view(8, 4, 2, 4).permute(0, 2, 1, 3).reshape(16, 16)
    return torch.where(windows[:, None] == windows[:, :, None], 0.0, -100.0)


def _attend(state: State, at: str, windows: Tensor, mask: Tensor | None) -> Tensor:
    """One head of one window after the other: (n, 16, 256) -> (n, 16, 256)."""
    place = torch.tensor([(row, column) for row in range(4) for column in range(4)], dtype=torch.float32)
    offset = place[:, None] - place[None]
    log_offset = torch.sign(offset) * torch.log(1.0 + offset.abs())
    bias = _linear(state, f"{at}.meta_mlp.fc2", F.relu(_linear(state, f"{at}.meta_mlp.fc1", log_offset)))
    query, key, value = _linear(state, f"{at}.qkv", windows).split(256, dim=2)
    heads = []
    for head in range(16):
        part = slice(16 * head, 16 * head + 16)
        cosine = F.cosine_similarity(query[:, :, None, part], key[:, None, :, part], dim=-1)
        logits = cosine / state[f"{at}.tau"][head].clamp(min=0.01) + bias[..., head]
        if mask is not None:
            logits = logits + mask.repeat(len(windows) // len(mask), 1, 1)
        heads.append(logits.softmax(-1) @ value[..., part])
    return _linear(state, f"{at}.proj", torch.cat(heads, dim=2))


def _published_block(state: State, index: int, x: Tensor) -> Tensor:
    """The published Swin block, with its view of 1024 tokens by 256 channels as 32 by 8 by 1024."""
    at = f"decoder_blocks.{index}"
    shift = 2 * (index % 2)
    picture = x.reshape(len(x), 32, 8, TOKENS).roll(-shift, 1)
    windows = picture.view(len(x), 8, 4, 2, 4, TOKENS).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, 256)
    windows = _attend(state, f"{at}.attn", windows, _published_mask() if shift else None)
    tiled = windows.reshape(-1, 4, 4, TOKENS).view(len(x), 8, 2, 4, 4, TOKENS)
    picture = tiled.permute(0, 1, 3, 2, 4, 5).reshape(len(x), 32, 8, TOKENS).roll(shift, 1)
    x = x + _norm(state, f"{at}.norm1", picture.reshape(len(x), TOKENS, 256))
    widened = F.gelu(_linear(state, f"{at}.mlp.fc1", x))
    return x + _norm(state, f"{at}.norm2", _linear(state, f"{at}.mlp.fc2", widened))


def _published_error(state: State, mel: Tensor, noise: Tensor) -> Tensor:
    """The loss as OPERA computes it, from the noise that its masking draws: scalar."""
    shuffle = noise.argsort(dim=1)
    restore = shuffle.argsort(dim=1)
    keep = shuffle[:, :SEEN]
    tokens = _patches(state, mel).gather(1, keep.unsqueeze(-1).repeat(1, 1, 384))
    hidden = _linear(state, "decoder_embed", _norm(state, "norm", _encode(state, tokens)))
    blanks = state["mask_token"].repeat(len(mel), TOKENS - SEEN, 1)
    x = torch.cat([hidden[:, 1:], blanks], dim=1).gather(1, restore.unsqueeze(-1).repeat(1, 1, 256))
    x = x + state["decoder_pos_embed"][:, 1:]
    for index in range(16):
        x = _published_block(state, index, x)
    predicted = _linear(state, "decoder_pred", _norm(state, "decoder_norm", x))
    target = F.unfold(mel.unsqueeze(1), kernel_size=4, stride=4).transpose(1, 2)
    mask = torch.ones(len(mel), TOKENS)
    mask[:, :SEEN] = 0
    mask = mask.gather(1, restore)
    return (((predicted - target) ** 2).mean(-1) * mask).sum() / mask.sum()


def test_published_size() -> None:
    decoder = {name: shape for name, shape in shapes("gt").items() if name.startswith(("decoder_", "mask_"))}
    own = OperaGTEncoder()
    size = {name: value.numel() for name, value in own.named_parameters()}
    encoder = sum(count for name, count in size.items() if name not in decoder)
    assert encoder == 12 * 1_774_464 + 384 * 16 + 384 + 384 + 2 * 384  # 21.3 M
    heads = sum(count for name, count in size.items() if "meta_mlp" in name or name.endswith("tau"))
    blocks = sum(count for name, count in size.items() if name.startswith("decoder_blocks.")) - heads
    assert blocks == 16 * 789_760  # the published 12.6 M
    assert heads == 16 * 7_328
    fixed = sum(math.prod(shapes("gt")[name]) for name in ("pos_embed", "decoder_pos_embed"))
    assert sum(map(math.prod, shapes("gt").values())) == sum(size.values()) + fixed


def test_embedding_equals_the_published_forward_pass(encoder: OperaGTEncoder, state: State) -> None:
    waveforms = heard(1)
    with torch.no_grad():
        mel = encoder.features(waveforms)
        hidden = _encode(state, _patches(state, mel))
        expected = _norm(state, "norm", hidden[:, 1:].mean(1))
        frames = encoder.frames(waveforms)
        embedding = encoder.pool(frames)
    assert embedding.shape == (1, encoder.dim) == (1, 384)
    assert (hidden[0, 1] - hidden[0, 500]).std() > 0.1
    assert torch.allclose(embedding, expected, atol=1e-5)
    by_moment = torch.stack(
        [hidden[:, 1 + 16 * moment : 17 + 16 * moment].mean(1) for moment in range(64)], 1
    )
    assert torch.allclose(frames, by_moment, atol=1e-4)


def test_a_longer_clip_is_cut(encoder: OperaGTEncoder) -> None:
    waveform = heard(1).repeat(1, 2)
    assert encoder.features(waveform).shape == (1, 256, 64)
    assert torch.equal(encoder.features(waveform), encoder.features(waveform[:, :130_880]))


def test_masked_error_equals_the_published_loss(encoder: OperaGTEncoder, state: State) -> None:
    waveforms = heard(2)
    with torch.no_grad():
        torch.manual_seed(3)
        (errors,) = encoder.ssl_views(waveforms, torch.zeros(0))
        torch.manual_seed(3)
        noise = torch.rand(2, TOKENS)
        expected = _published_error(state, encoder.features(waveforms), noise)
    assert errors.shape == (2,)
    assert abs(float(errors[0] - errors[1])) > 1e-3
    assert float(encoder.ssl_loss(errors)) == pytest.approx(float(expected), rel=1e-5)


def test_patches_and_their_values_are_in_one_order() -> None:
    mel = torch.arange(256.0 * 64).reshape(1, 256, 64)
    expected = F.unfold(mel.unsqueeze(1), kernel_size=4, stride=4).transpose(1, 2)
    assert torch.equal(tiles(mel), expected)


def test_the_loss_needs_the_waveform_and_reaches_every_weight(encoder: OperaGTEncoder) -> None:
    trained = OperaGTEncoder().train()
    trained.load_state_dict(encoder.state_dict())
    with pytest.raises(ValueError, match="needs the waveform"):
        trained.ssl_views(None, torch.zeros(0))
    torch.manual_seed(0)
    trained.ssl_loss(*trained.ssl_views(heard(1), torch.zeros(0))).backward()
    assert unreached(trained) == []


def test_a_frozen_trunk_leaves_the_last_two_layers_and_the_decoder() -> None:
    encoder = OperaGTEncoder()
    encoder.freeze_trunk()
    early = ("patch_embed.", "cls_token", *(f"blocks.{index}." for index in range(10)))
    frozen = {name for name, value in encoder.named_parameters() if not value.requires_grad}
    assert frozen == {name for name, _ in encoder.named_parameters() if name.startswith(early)}
