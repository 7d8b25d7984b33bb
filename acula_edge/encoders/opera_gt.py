"""OPERA-GT: a small vision transformer pre-trained as a masked autoencoder.

He et al., "Masked autoencoders are scalable vision learners" (CVPR 2022). 256 frames by 64 mels are cut
into 4 by 4 patches, 1024 tokens with time running slowest. The parts carry the names of the published
checkpoint, which holds the decoder too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from acula_edge.encoders.opera_decoder import WIDTH as DECODER_WIDTH
from acula_edge.encoders.opera_decoder import RowBlock
from acula_edge.encoders.opera_frontend import FEATURES, MELS, RATE_HZ, OperaMel
from acula_edge.encoders.protocol import AudioEncoder, EncoderContract
from acula_edge.encoders.published import load_published

CHECKPOINT_FILE = "encoder-operaGT.ckpt"
CLIP_SECONDS = 8.18
MASK_RATIO = 0.7
_CLIP_SAMPLES = round(CLIP_SECONDS * RATE_HZ)
_FRAMES = 256
_PATCH = 4
_GRID = (_FRAMES // _PATCH, MELS // _PATCH)
_TOKENS = _GRID[0] * _GRID[1]
_SEEN = int(_TOKENS * (1 - MASK_RATIO))
_DIM = 384
_HEADS = 6
_LAYERS = 12
_TRUNK_LAYERS = 10
_DECODER_LAYERS = 16
_NORM_EPS = 1e-6


class OperaGTEncoder(AudioEncoder):
    """OPERA's features and twelve pre-norm transformer layers (384-d); the top is the last two.

    A longer clip is cut; OPERA takes the mean over windows of 8.18 s, as a recording's clips here.
    """

    contract = EncoderContract(RATE_HZ, CLIP_SECONDS, FEATURES)
    dim = _DIM
    pretrained = True
    caches_trunk = False
    pos_embed: Tensor
    decoder_pos_embed: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.mel = OperaMel(_CLIP_SAMPLES)
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(1, _DIM, _PATCH, stride=_PATCH)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, _DIM))
        self.register_buffer("pos_embed", torch.zeros(1, 1 + _TOKENS, _DIM))
        self.blocks = nn.ModuleList(Block() for _ in range(_LAYERS))
        self.norm = nn.LayerNorm(_DIM, eps=_NORM_EPS)
        self.decoder_embed = nn.Linear(_DIM, DECODER_WIDTH)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, DECODER_WIDTH))
        self.register_buffer("decoder_pos_embed", torch.zeros(1, 1 + _TOKENS, DECODER_WIDTH))
        self.decoder_blocks = nn.ModuleList(RowBlock(index % 2 == 1) for index in range(_DECODER_LAYERS))
        self.decoder_norm = nn.LayerNorm(DECODER_WIDTH, eps=_NORM_EPS)
        self.decoder_pred = nn.Linear(DECODER_WIDTH, _PATCH * _PATCH)

    def features(self, waveform: Tensor) -> Tensor:
        """(B, samples) -> (B, 256, 64) of the first 8.18 s."""
        mel: Tensor = self.mel(waveform[:, :_CLIP_SAMPLES])
        return mel

    def trunk(self, waveform: Tensor) -> Tensor:
        """(B, samples) -> (B, 1025, 384): the class token, then the patches, after ten layers."""
        hidden = self._with_class(self._patches(self.features(waveform)))
        for block in self.blocks[:_TRUNK_LAYERS]:
            hidden = block(hidden)
        return hidden

    def top(self, hidden: Tensor) -> Tensor:
        """(B, 1025, 384) -> (B, 64, 384): patches averaged over frequency, every 128 ms."""
        for block in self.blocks[_TRUNK_LAYERS:]:
            hidden = block(hidden)
        return hidden[:, 1:].reshape(len(hidden), *_GRID, _DIM).mean(2)

    def trunk_modules(self) -> Sequence[nn.Module | nn.Parameter]:
        """The patches, the class token and the first ten layers."""
        return [self.patch_embed, self.cls_token, self.blocks[:_TRUNK_LAYERS]]

    def pool(self, frames: Tensor) -> Tensor:
        """(B, 64, 384) -> (B, 384): the mean of all patches, normalised."""
        pooled: Tensor = self.norm(frames.mean(1))
        return pooled

    def ssl_views(self, waveform: Tensor | None, frames: Tensor) -> tuple[Tensor, ...]:
        """The error of each clip's masked patches, (B,). Raises ValueError without a waveform."""
        del frames
        if waveform is None:
            raise ValueError("OPERA-GT's self-supervised loss needs the waveform")
        return (self.masked_error(self.features(waveform)),)

    def ssl_loss(self, *views: Tensor) -> Tensor:
        """The mean of the clips' errors."""
        return views[0].mean()

    def masked_error(self, mel: Tensor) -> Tensor:
        """(B, 256, 64) -> (B,): mean squared error over the 717 of 1024 patches that are masked.

        They are drawn by torch's generator for each clip.
        """
        seen = torch.rand(len(mel), _TOKENS, device=mel.device).argsort(1)[:, :_SEEN, None]
        hidden = self._with_class(self._patches(mel).gather(1, seen.expand(-1, -1, _DIM)))
        for block in self.blocks:
            hidden = block(hidden)
        error = (self._decode(self.norm(hidden)[:, 1:], seen) - tiles(mel)).square().mean(2)
        return error.scatter(1, seen.squeeze(2), 0.0).sum(1) / (_TOKENS - _SEEN)

    def _decode(self, states: Tensor, seen: Tensor) -> Tensor:
        """States (B, n, 384) of the patches `seen` (B, n, 1) -> values (B, 1024, 16) of all patches."""
        known = self.decoder_embed(states)
        blank = self.mask_token.to(known.dtype).expand(len(known), _TOKENS, -1)
        hidden = blank.scatter(1, seen.expand_as(known), known) + self.decoder_pos_embed[:, 1:]
        for block in self.decoder_blocks:
            hidden = block(hidden)
        values: Tensor = self.decoder_pred(self.decoder_norm(hidden))
        return values

    def _patches(self, mel: Tensor) -> Tensor:
        """(B, 256, 64) -> (B, 1024, 384), with their positions."""
        patches: Tensor = self.patch_embed["proj"](mel.unsqueeze(1))
        return patches.flatten(2).transpose(1, 2) + self.pos_embed[:, 1:]

    def _with_class(self, tokens: Tensor) -> Tensor:
        token = (self.cls_token + self.pos_embed[:, :1]).expand(len(tokens), -1, -1)
        return torch.cat([token, tokens], dim=1)


class Block(nn.Module):
    """Pre-norm self-attention, then pre-norm GELU layers, each added to what came in."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(_DIM, eps=_NORM_EPS)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(_DIM, 3 * _DIM), "proj": nn.Linear(_DIM, _DIM)})
        self.norm2 = nn.LayerNorm(_DIM, eps=_NORM_EPS)
        layers = {"fc1": nn.Linear(_DIM, 4 * _DIM), "act": nn.GELU(), "fc2": nn.Linear(4 * _DIM, _DIM)}
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, N, 384) -> (B, N, 384)."""
        heads = self.attn["qkv"](self.norm1(hidden)).unflatten(2, (3, _HEADS, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value)
        hidden = hidden + self.attn["proj"](attended.transpose(1, 2).flatten(2))
        mixed: Tensor = hidden + self.mlp(self.norm2(hidden))
        return mixed


def tiles(mel: Tensor) -> Tensor:
    """(B, 256, 64) -> (B, 1024, 16): the values of each patch, in the order of the tokens."""
    cut = mel.reshape(len(mel), _GRID[0], _PATCH, _GRID[1], _PATCH)
    return cut.transpose(2, 3).flatten(3).flatten(1, 2)


def load_opera_gt(folder: Path) -> OperaGTEncoder:
    """OPERA-GT and its decoder from the published checkpoint in `folder`.

    Raises ArtifactError if it does not fit.
    """
    encoder = OperaGTEncoder()
    load_published(encoder, folder / CHECKPOINT_FILE, {})
    return encoder.eval()
