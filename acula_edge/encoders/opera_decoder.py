"""A block of OPERA-GT's decoder: Swin V2's cosine attention, as the published code applies it.

Liu et al., "Swin transformer V2" (CVPR 2022). The published code reads 1024 tokens of 256 channels as a
picture of 32 by 8 with 1024 channels, cuts it into windows of 4 by 4, and takes every 16 rows of 256
numbers for a window. Worked out, a window is 16 tokens in a row: the patches of one moment, all bands.
Its shift, by whole windows, changes nothing but which of them get the wrap-round mask: in every second
block, of each 16 moments the second and the fourth, whose lower and upper eight bands stay apart.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

WIDTH = 256
_HEADS = 16
_SIDE = 4
_WINDOW = _SIDE * _SIDE
_MOMENTS = 64
_MASK_PERIOD = 16
_MASKED_MOMENTS = (1, 3)
_APART = -100.0
_POSITION_WIDTH = 384
_LEAST_TAU = 0.01
_LEAST_NORM = 1e-6
_NORM_EPS = 1e-6


class RowBlock(nn.Module):
    """Attention within each moment, then GELU layers; each is normalised and added to what came in."""

    mask: Tensor

    def __init__(self, shifted: bool) -> None:
        super().__init__()
        self.attn = CosineAttention()
        self.norm1 = nn.LayerNorm(WIDTH, eps=_NORM_EPS)
        layers = {"fc1": nn.Linear(WIDTH, 4 * WIDTH), "act": nn.GELU(), "fc2": nn.Linear(4 * WIDTH, WIDTH)}
        self.mlp = nn.Sequential(OrderedDict(layers))
        self.norm2 = nn.LayerNorm(WIDTH, eps=_NORM_EPS)
        self.register_buffer("mask", _shift_mask() * shifted, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 1024, 256), time running slowest -> the same shape."""
        rows = tokens.reshape(len(tokens), _MOMENTS, _WINDOW, WIDTH)
        tokens = tokens + self.norm1(self.attn(rows, self.mask)).flatten(1, 2)
        mixed: Tensor = tokens + self.norm2(self.mlp(tokens))
        return mixed


class CosineAttention(nn.Module):
    """Self-attention by the cosine of query and key, with a bias that a small network makes."""

    offsets: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.tau = nn.Parameter(torch.ones(_HEADS))
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)
        layers = {
            "fc1": nn.Linear(2, _POSITION_WIDTH),
            "act": nn.ReLU(),
            "fc2": nn.Linear(_POSITION_WIDTH, _HEADS),
        }
        self.meta_mlp = nn.Sequential(OrderedDict(layers))
        self.register_buffer("offsets", _log_offsets(), persistent=False)

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        """(B, N, 16, 256) with a mask (N, 1, 16, 16) to add to the logits -> (B, N, 16, 256)."""
        query, key, value = self.qkv(rows).unflatten(3, (3, _HEADS, -1)).permute(3, 0, 1, 4, 2, 5)
        norms = query.norm(dim=-1, keepdim=True) @ key.norm(dim=-1, keepdim=True).transpose(-2, -1)
        cosine = query @ key.transpose(-2, -1) / norms.clamp(min=_LEAST_NORM)
        bias = self.meta_mlp(self.offsets).permute(2, 0, 1)
        logits = cosine / self.tau.clamp(min=_LEAST_TAU)[:, None, None] + bias + mask
        attended = logits.softmax(-1).to(value.dtype) @ value
        mixed: Tensor = self.proj(attended.transpose(2, 3).flatten(3))
        return mixed


def _log_offsets() -> Tensor:
    """(16, 16, 2): signed log(1 + distance) between the places of two tokens in a window of 4 by 4."""
    place = torch.cartesian_prod(torch.arange(_SIDE), torch.arange(_SIDE)).float()
    offset = place[:, None] - place
    return offset.sign() * offset.abs().log1p()


def _shift_mask() -> Tensor:
    """(64, 1, 16, 16), to add to logits: apart are the halves of the masked moments."""
    half = torch.arange(_WINDOW) >= _WINDOW // 2
    apart = torch.where(half[:, None] == half, 0.0, _APART)
    masked = torch.isin(torch.arange(_MOMENTS) % _MASK_PERIOD, torch.tensor(_MASKED_MOMENTS))
    return masked[:, None, None, None] * apart
