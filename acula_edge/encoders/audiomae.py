"""AudioMAE: a ViT-B/16 on log-mel patches, pre-trained to fill in masked ones.

Huang et al., "Masked autoencoders that listen" (NeurIPS 2022). 1024 frames of 10 ms by 128 mels, patches
of 16 by 16. The weights are the encoder alone, in timm's names; the decoder of the self-supervised loss
is small and starts at random.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from acula_edge.encoders.kaldi import RATE_HZ, KaldiFbank
from acula_edge.encoders.protocol import AudioEncoder, EncoderContract
from acula_edge.encoders.transformers_audio import early_parameters
from acula_edge.errors import ArtifactError
from acula_edge.progress import silenced

WEIGHTS_FILE = "model.safetensors"
MASK_RATIO = 0.8
_FRAMES = 1024
_MELS = 128
_PATCH = 16
_GRID = (_FRAMES // _PATCH, _MELS // _PATCH)  # patches in time and in frequency; time runs slowest
_N_PATCHES = _GRID[0] * _GRID[1]
_SAMPLES = 400 + 160 * (_FRAMES - 1)
# Of AudioSet, as published with the model; twice the deviation divides.
_MEAN = -4.2677393
_STD = 4.5689974
_HEAD_WIDTH = 64
_DECODER_WIDTH = 256
_DECODER_LAYERS = 2
# Parts of timm's names, and what transformers calls them.
_RENAMES = (
    (r"^(cls_token)$", r"embeddings.\1"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^blocks\.", "layers."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.proj\.", ".attention.o_proj."),
    (r"^(fc_)?norm\.", "layernorm."),
)


class AudioMAEEncoder(AudioEncoder):
    """Kaldi features, ViT, then the mean of the patches; frames are averaged over frequency.

    `trunk` computes the features and has no weights. A frozen trunk is the first two thirds of the layers.
    """

    contract = EncoderContract(RATE_HZ, 10.24, "128 mels, 20-8000 Hz, window 25 ms, hop 10 ms")
    pretrained = True
    caches_trunk = False

    def __init__(self, width: int = 768, layers: int = 12) -> None:
        super().__init__()
        with silenced():
            from transformers import ViTConfig, ViTModel

        config = ViTConfig(
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=width // _HEAD_WIDTH,
            intermediate_size=4 * width,
            layer_norm_eps=1e-6,
            image_size=(_FRAMES, _MELS),
            patch_size=_PATCH,
            num_channels=1,
        )
        self.dim = width
        self.fbank = KaldiFbank(_MELS)
        self.vit = ViTModel(config, add_pooling_layer=False)
        self.decoder = PatchDecoder(width)

    @torch.no_grad()
    def trunk(self, waveform: Tensor) -> Tensor:
        """(B, samples) -> (B, 1024, 128): normalised features of the first 10.24 s, zeros of padding too."""
        fbank = self.fbank(waveform[:, :_SAMPLES])
        padded = F.pad(fbank, (0, 0, 0, _FRAMES - fbank.shape[1]))
        return (padded - _MEAN) / (2.0 * _STD)

    def top(self, hidden: Tensor) -> Tensor:
        """(B, 1024, 128) -> (B, 64, width)."""
        patches = self.vit(hidden.unsqueeze(1)).last_hidden_state[:, 1:]
        frames: Tensor = patches.unflatten(1, _GRID).mean(2)
        return frames

    def trunk_modules(self) -> Sequence[nn.Module | nn.Parameter]:
        """The embeddings and the first two thirds of the layers."""
        return early_parameters(self.vit)

    def pool(self, frames: Tensor) -> Tensor:
        """(B, 64, width) -> (B, width): the mean of all patches."""
        return frames.mean(1)

    def ssl_views(self, waveform: Tensor | None, frames: Tensor) -> tuple[Tensor, ...]:
        """The features, (B, 1024, 128). Raises ValueError without a waveform."""
        del frames
        if waveform is None:
            raise ValueError("AudioMAE's self-supervised loss needs the waveform")
        return (self.trunk(waveform),)

    def ssl_loss(self, *views: Tensor) -> Tensor:
        """Mean squared error of the masked patches, each scaled to mean 0 and variance 1.

        Four fifths of the patches of each clip are masked, drawn by torch's generator.
        """
        (features,) = views
        order = torch.rand(len(features), _N_PATCHES, device=features.device).argsort(1)
        seen = order[:, : round(_N_PATCHES * (1 - MASK_RATIO))]
        masked = order[:, seen.shape[1] :]
        predicted = self.decoder(self._encode(features, seen), seen)
        target = patches_of(features)
        target = (target - target.mean(2, keepdim=True)) / (target.var(2, keepdim=True) + 1e-6).sqrt()
        return F.mse_loss(_take(predicted, masked), _take(target, masked))

    def _encode(self, features: Tensor, seen: Tensor) -> Tensor:
        """Hidden states of the patches `seen` (B, n) alone, (B, n, width)."""
        embeddings = self.vit.embeddings
        positions = embeddings.position_embeddings
        patches = embeddings.patch_embeddings(features.unsqueeze(1)) + positions[:, 1:]
        token = (embeddings.cls_token + positions[:, :1]).expand(len(features), -1, -1)
        hidden = torch.cat([token, _take(patches, seen)], dim=1)
        for layer in self.vit.layers:
            hidden = layer(hidden)
        states: Tensor = self.vit.layernorm(hidden)[:, 1:]
        return states


class PatchDecoder(nn.Module):
    """From the hidden states of some patches to the values of all: two pre-norm layers, 256-d."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.narrow = nn.Linear(width, _DECODER_WIDTH)
        self.mask_token = nn.Parameter(0.02 * torch.randn(_DECODER_WIDTH))
        self.positions = nn.Parameter(0.02 * torch.randn(_N_PATCHES, _DECODER_WIDTH))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                _DECODER_WIDTH, 4, 4 * _DECODER_WIDTH, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(_DECODER_LAYERS)
        )
        self.norm = nn.LayerNorm(_DECODER_WIDTH)
        self.values = nn.Linear(_DECODER_WIDTH, _PATCH * _PATCH)

    def forward(self, states: Tensor, seen: Tensor) -> Tensor:
        """(B, n, width) of the patches `seen` (B, n) -> (B, 512, 256)."""
        known = self.narrow(states)
        blank = self.mask_token.to(known.dtype).expand(len(states), _N_PATCHES, -1)
        hidden = blank.scatter(1, seen.unsqueeze(2).expand_as(known), known) + self.positions
        for layer in self.layers:
            hidden = layer(hidden)
        values: Tensor = self.values(self.norm(hidden))
        return values


def patches_of(features: Tensor) -> Tensor:
    """(B, 1024, 128) -> (B, 512, 256): the values of each patch, in the order of the ViT's tokens."""
    tiles = features.reshape(-1, _GRID[0], _PATCH, _GRID[1], _PATCH)
    return tiles.transpose(2, 3).reshape(-1, _N_PATCHES, _PATCH * _PATCH)


def load_audiomae(folder: Path) -> AudioMAEEncoder:
    """AudioMAE with the timm weights in `folder`, of whichever width and depth they have.

    Raises ArtifactError, naming the parts, if a weight is missing, unexpected or of another shape.
    """
    path = folder / WEIGHTS_FILE
    try:
        tensors = load_file(path)
        width = tensors["cls_token"].shape[-1]
        layers = len([name for name in tensors if name.endswith(".norm1.weight")])
        encoder = AudioMAEEncoder(width, layers)
        encoder.vit.load_state_dict(_renamed(tensors))
    except (OSError, KeyError, SafetensorError, RuntimeError) as error:
        raise ArtifactError(
            f"{path} is not AudioMAE in timm's form ({' '.join(str(error).split())}); add the weights again"
        ) from None
    return encoder.eval()


def _renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """transformers' names; timm's fused query, key and value are three layers there."""
    state = {}
    for name, tensor in tensors.items():
        for pattern, replacement in _RENAMES:
            name = re.sub(pattern, replacement, name)
        if ".attn.qkv." in name:
            for part, third in zip("qkv", tensor.chunk(3), strict=True):
                state[name.replace(".attn.qkv.", f".attention.{part}_proj.")] = third
        else:
            state[name] = tensor
    return state


def _take(tokens: Tensor, indices: Tensor) -> Tensor:
    """The tokens (B, N, C) at `indices` (B, n): (B, n, C)."""
    return tokens.gather(1, indices.unsqueeze(2).expand(-1, -1, tokens.shape[2]))
