"""OPERA-CT: HTS-AT, a Swin transformer that folds a long spectrogram into a square.

Chen et al., "HTS-AT: a hierarchical token-semantic audio transformer" (ICASSP 2022); Liu et al., "Swin
transformer" (ICCV 2021). The spectrogram is stretched to 1024 frames and cut into four pieces, which lie
one above the other in a square of 256 by 256; patches of 4 by 4 are its tokens.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from acula_edge.encoders.opera_cola import SIMILARITY_NAMES, OperaColaEncoder, RestingBatchNorm
from acula_edge.encoders.opera_frontend import MELS
from acula_edge.encoders.published import load_published

CHECKPOINT_FILE = "encoder-operaCT.ckpt"
# HTS-AT's own front end and its AudioSet classifier, which OPERA does not run, and constants.
UNUSED = (
    r"encoder\.encoder\.htsat\.(spectrogram_extractor|logmel_extractor|tscam_conv|head)\."
    r"|.*\.(attn_mask|relative_position_index)$"
)
PREFIXES = {"htsat.": "encoder.encoder.htsat.", **SIMILARITY_NAMES}
_FOLDS = 4
_FOLD_FRAMES = 256
_PATCH = 4
_WIDTH = 96
_DEPTHS = (2, 2, 6, 2)
_HEADS = (4, 8, 16, 32)
_GRID = _FOLD_FRAMES // _PATCH
_WINDOW = 8
_APART = -100.0  # added to the logits of two tokens that only meet because the grid wraps round


class OperaCTEncoder(OperaColaEncoder):
    """OPERA's features and HTS-AT (768-d). The top is the last stage, whose window is the whole clip."""

    def __init__(self) -> None:
        super().__init__(_WIDTH << len(_DEPTHS) - 1)
        self.htsat = HTSAT()

    def early(self, mel: Tensor) -> Tensor:
        """(B, frames, 64) -> (B, 32, 2, 768): three stages on the first 32.7 s at most."""
        grid = self.htsat.embed(mel[:, : _FOLDS * _FOLD_FRAMES])
        for stage in self.htsat.layers[:-1]:
            grid = stage(grid)
        return _unfold(grid)

    def top(self, hidden: Tensor) -> Tensor:
        """(B, T, 2, 768), T at most 32 -> (B, 32, 768); a stretch is repeated until it fills the square."""
        length = _FOLDS * _WINDOW
        filled = hidden.repeat(1, -(-length // hidden.shape[1]), 1, 1)[:, :length]
        grid = self.htsat.norm(self.htsat.layers[-1](_fold(filled)))
        return _unfold(grid).mean(2)

    def trunk_modules(self) -> Sequence[nn.Module | nn.Parameter]:
        """The patches and the first three stages."""
        return [self.htsat.bn0, self.htsat.patch_embed, self.htsat.layers[:-1]]


class HTSAT(nn.Module):
    """The network; its parts carry the names of the published checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.bn0 = RestingBatchNorm(MELS)
        self.patch_embed = nn.ModuleDict(
            {"proj": nn.Conv2d(1, _WIDTH, _PATCH, stride=_PATCH), "norm": nn.LayerNorm(_WIDTH)}
        )
        self.layers = nn.ModuleList(Stage(index) for index in range(len(_DEPTHS)))
        self.norm = nn.LayerNorm(_WIDTH << len(_DEPTHS) - 1)

    def embed(self, mel: Tensor) -> Tensor:
        """(B, frames, 64), frames at most 1024 -> (B, 64, 64, 96): rows are pieces by mels, columns time."""
        # Published: normalise, then stretch. The order does not matter, and the cubic interpolation has no
        # deterministic gradient on a GPU, which here nothing asks for.
        size = (_FOLDS * _FOLD_FRAMES, MELS)
        stretched = F.interpolate(mel.unsqueeze(1), size, mode="bicubic", align_corners=True).squeeze(1)
        normal = self.bn0(stretched.transpose(1, 2)).transpose(1, 2)
        pieces = normal.reshape(len(mel), _FOLDS, _FOLD_FRAMES, MELS)
        patches = self.patch_embed["proj"](pieces.transpose(2, 3).flatten(1, 2).unsqueeze(1))
        grid: Tensor = self.patch_embed["norm"](patches.permute(0, 2, 3, 1))
        return grid


class Stage(nn.Module):
    """Blocks at one resolution; all stages but the last end in a merger of 2 by 2 tokens."""

    def __init__(self, index: int) -> None:
        super().__init__()
        width, side = _WIDTH << index, _GRID >> index
        shifts = (0, _WINDOW // 2 if side > _WINDOW else 0)
        self.blocks = nn.ModuleList(
            SwinBlock(width, _HEADS[index], side, shifts[block % 2]) for block in range(_DEPTHS[index])
        )
        last = index == len(_DEPTHS) - 1
        self.downsample: nn.Module = nn.Identity() if last else PatchMerging(width)

    def forward(self, grid: Tensor) -> Tensor:
        """(B, side, side, C) -> (B, side / 2, side / 2, 2 C), or the same shape from the last stage."""
        for block in self.blocks:
            grid = block(grid)
        merged: Tensor = self.downsample(grid)
        return merged


class SwinBlock(nn.Module):
    """Attention within windows of 8 by 8 tokens, on the grid or on the grid moved by half a window."""

    mask: Tensor

    def __init__(self, width: int, heads: int, side: int, shift: int) -> None:
        super().__init__()
        self.shift = shift
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        layers = {"fc1": nn.Linear(width, 4 * width), "act": nn.GELU(), "fc2": nn.Linear(4 * width, width)}
        self.mlp = nn.Sequential(OrderedDict(layers))
        self.register_buffer("mask", _wrap_mask(side, shift), persistent=False)

    def forward(self, grid: Tensor) -> Tensor:
        """(B, side, side, C) -> the same shape."""
        moved = self.norm1(grid).roll((-self.shift, -self.shift), (1, 2))
        attended = _join(self.attn(_windows(moved), self.mask), len(moved[0]))
        grid = grid + attended.roll((self.shift, self.shift), (1, 2))
        mixed: Tensor = grid + self.mlp(self.norm2(grid))
        return mixed


class WindowAttention(nn.Module):
    """Self-attention with a learned bias for each head and relative position."""

    index: Tensor

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * _WINDOW - 1) ** 2, heads))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        place = torch.cartesian_prod(torch.arange(_WINDOW), torch.arange(_WINDOW))
        apart = place[:, None] - place + _WINDOW - 1
        index = apart[..., 0] * (2 * _WINDOW - 1) + apart[..., 1]
        self.register_buffer("index", index, persistent=False)

    def forward(self, windows: Tensor, mask: Tensor) -> Tensor:
        """(B, N, 64, C) with a mask (N, 1, 64, 64) to add to the logits -> (B, N, 64, C)."""
        query, key, value = self.qkv(windows).unflatten(3, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5)
        bias = self.relative_position_bias_table[self.index].permute(2, 0, 1)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias + mask)
        mixed: Tensor = self.proj(attended.transpose(2, 3).flatten(3))
        return mixed


class PatchMerging(nn.Module):
    """Four neighbouring tokens become one of twice the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, grid: Tensor) -> Tensor:
        """(B, side, side, C) -> (B, side / 2, side / 2, 2 C)."""
        batch, side, _, width = grid.shape
        fours = grid.reshape(batch, side // 2, 2, side // 2, 2, width).permute(0, 1, 3, 4, 2, 5)
        merged: Tensor = self.reduction(self.norm(fours.flatten(3)))
        return merged


def _windows(grid: Tensor) -> Tensor:
    """(B, side, side, C) -> (B, windows, 64, C)."""
    batch, side, _, width = grid.shape
    tiles = grid.reshape(batch, side // _WINDOW, _WINDOW, side // _WINDOW, _WINDOW, width)
    return tiles.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _join(windows: Tensor, side: int) -> Tensor:
    """The inverse of `_windows`."""
    batch, _, _, width = windows.shape
    tiles = windows.reshape(batch, side // _WINDOW, side // _WINDOW, _WINDOW, _WINDOW, width)
    return tiles.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _wrap_mask(side: int, shift: int) -> Tensor:
    """(windows, 1, 64, 64), to add to logits: tokens that the shift brought together stay apart."""
    position = torch.arange(side)
    region = (position >= side - _WINDOW).long() + (position >= side - shift).long()
    label = _windows((3 * region[:, None] + region)[None, :, :, None])[0]
    mask: Tensor = torch.where(label == label.transpose(1, 2), 0.0, _APART)
    return mask[:, None]


def _unfold(grid: Tensor) -> Tensor:
    """(B, 8, 8, C), rows being four pieces of the clip by two bands -> (B, 32, 2, C), time first."""
    return grid.reshape(len(grid), _FOLDS, -1, *grid.shape[2:]).transpose(2, 3).flatten(1, 2)


def _fold(hidden: Tensor) -> Tensor:
    """The inverse of `_unfold`."""
    return hidden.reshape(len(hidden), _FOLDS, -1, *hidden.shape[2:]).transpose(2, 3).flatten(1, 2)


def load_opera_ct(folder: Path) -> OperaCTEncoder:
    """OPERA-CT from the published checkpoint in `folder`. Raises ArtifactError if it does not fit."""
    encoder = OperaCTEncoder()
    load_published(encoder, folder / CHECKPOINT_FILE, PREFIXES, UNUSED)
    encoder.turn_similarity()
    return encoder.eval()
