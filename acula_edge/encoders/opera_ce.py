"""OPERA-CE: one convolution to three channels, then EfficientNet-B0.

Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks" (ICML 2019). The
parts carry the names of the published checkpoint, which are those of the package efficientnet_pytorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from acula_edge.encoders.opera_cola import SIMILARITY_NAMES, OperaColaEncoder, RestingBatchNorm
from acula_edge.encoders.published import load_published

CHECKPOINT_FILE = "encoder-operaCE.ckpt"
PREFIXES = {"cnn1.": "encoder.cnn1.", "efficientnet.": "encoder.efficientnet.", **SIMILARITY_NAMES}
_DIM = 1280
_STEM = 32
_NORM_EPS = 1e-3


@dataclass(frozen=True)
class Shape:
    """One block: its kernel, stride, how many times it widens, and its channels."""

    kernel: int
    stride: int
    widen: int
    channels_in: int
    channels: int


def _blocks(kernel: int, stride: int, widen: int, channels_in: int, channels: int, n: int) -> list[Shape]:
    first = Shape(kernel, stride, widen, channels_in, channels)
    return [first, *[Shape(kernel, 1, widen, channels, channels)] * (n - 1)]


_SHAPES = (
    *_blocks(3, 1, 1, _STEM, 16, 1),
    *_blocks(3, 2, 6, 16, 24, 2),
    *_blocks(5, 2, 6, 24, 40, 2),
    *_blocks(3, 2, 6, 40, 80, 3),
    *_blocks(5, 1, 6, 80, 112, 3),
    *_blocks(5, 2, 6, 112, 192, 4),
    *_blocks(3, 1, 6, 192, 320, 1),
)
_TRUNK = 11


class OperaCEEncoder(OperaColaEncoder):
    """OPERA's features and EfficientNet-B0 (1280-d). The top is the last two of its seven stages."""

    def __init__(self) -> None:
        super().__init__(_DIM)
        self.cnn1 = nn.Conv2d(1, 3, 3)
        self.efficientnet = EfficientNetB0()

    def early(self, mel: Tensor) -> Tensor:
        """(B, frames, 64) -> (B, T, 3, 112), T being about frames / 16."""
        maps = self.efficientnet.stem(self.cnn1(mel.unsqueeze(1)))
        for block in self.efficientnet._blocks[:_TRUNK]:
            maps = block(maps)
        return maps.permute(0, 2, 3, 1)

    def top(self, hidden: Tensor) -> Tensor:
        """(B, T, 3, 112) -> (B, T', 1280), T' being half of T, rounded up or down."""
        maps = hidden.permute(0, 3, 1, 2)
        for block in self.efficientnet._blocks[_TRUNK:]:
            maps = block(maps)
        return self.efficientnet.head(maps).mean(3).transpose(1, 2)

    def trunk_modules(self) -> Sequence[nn.Module | nn.Parameter]:
        """Both first convolutions and the first five stages."""
        net = self.efficientnet
        return [self.cnn1, net._conv_stem, net._bn0, net._blocks[:_TRUNK]]


class EfficientNetB0(nn.Module):
    """The network without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, _STEM, 3, stride=2)
        self._bn0 = RestingBatchNorm(_STEM, eps=_NORM_EPS)
        self._blocks = nn.ModuleList(MBConv(shape) for shape in _SHAPES)
        self._conv_head = SameConv(_SHAPES[-1].channels, _DIM, 1)
        self._bn1 = RestingBatchNorm(_DIM, eps=_NORM_EPS)

    def stem(self, maps: Tensor) -> Tensor:
        """(B, 3, T, F) -> (B, 32, T / 2, F / 2)."""
        return F.silu(self._bn0(self._conv_stem(maps)))

    def head(self, maps: Tensor) -> Tensor:
        """(B, 320, T, F) -> (B, 1280, T, F)."""
        return F.silu(self._bn1(self._conv_head(maps)))


class MBConv(nn.Module):
    """Widen, convolve each channel, weigh the channels by their means, narrow; added where shapes agree."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        wide = shape.channels_in * shape.widen
        squeezed = shape.channels_in // 4
        self._widens = shape.widen > 1
        self._adds = shape.stride == 1 and shape.channels_in == shape.channels
        if self._widens:
            self._expand_conv = SameConv(shape.channels_in, wide, 1)
            self._bn0 = RestingBatchNorm(wide, eps=_NORM_EPS)
        self._depthwise_conv = SameConv(wide, wide, shape.kernel, stride=shape.stride, groups=wide)
        self._bn1 = RestingBatchNorm(wide, eps=_NORM_EPS)
        self._se_reduce = nn.Conv2d(wide, squeezed, 1)
        self._se_expand = nn.Conv2d(squeezed, wide, 1)
        self._project_conv = SameConv(wide, shape.channels, 1)
        self._bn2 = RestingBatchNorm(shape.channels, eps=_NORM_EPS)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, T, F) -> (B, C', T', F')."""
        x = F.silu(self._bn0(self._expand_conv(maps))) if self._widens else maps
        x = F.silu(self._bn1(self._depthwise_conv(x)))
        weight = self._se_expand(F.silu(self._se_reduce(x.mean((2, 3), keepdim=True))))
        x = self._bn2(self._project_conv(torch.sigmoid(weight) * x))
        narrowed: Tensor = x + maps if self._adds else x
        return narrowed


class SameConv(nn.Conv2d):
    """A convolution without bias, padded as OPERA's: for the even sizes of a 224 by 224 image.

    Whatever the input, kernel - stride zeros are added, one more at the end if that is odd.
    """

    def __init__(
        self, channels_in: int, channels: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(channels_in, channels, kernel, stride, groups=groups, bias=False)
        before = (kernel - stride) // 2
        after = kernel - stride - before
        self._around = (before, after, before, after)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, T, F) -> (B, C', T / stride, F / stride)."""
        convolved: Tensor = super().forward(F.pad(maps, self._around))
        return convolved


def load_opera_ce(folder: Path) -> OperaCEEncoder:
    """OPERA-CE from the published checkpoint in `folder`. Raises ArtifactError if it does not fit."""
    encoder = OperaCEEncoder()
    load_published(encoder, folder / CHECKPOINT_FILE, PREFIXES)
    encoder.turn_similarity()
    return encoder.eval()
