"""Attention over the positions of a map, between convolutions that INT8 keeps well.

Every projection is a 1 x 1 convolution with batch normalisation, which folds into it: a layer normalisation
would stay float on every target. The products and the softmax are written out, with fixed shapes; they stay
float in an INT8 file too, as no phone's delegate has them in integers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from acula_edge.students.blocks import convolution
from acula_edge.students.config import AttentionBlock


class Scores(nn.Module):
    """How much each position asks for each other one."""

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """(B * heads, D, L) twice -> (B * heads, L, L): row i holds what position i asks for."""
        return torch.bmm(query.transpose(1, 2), key)


class Mix(nn.Module):
    """The values of all positions, weighted for each one."""

    def forward(self, value: Tensor, weights: Tensor) -> Tensor:
        """(B * heads, D, L) and (B * heads, L, L), whose rows sum to 1 -> (B * heads, D, L)."""
        return torch.bmm(value, weights.transpose(1, 2))


class Attention(nn.Module):
    """Vaswani et al., "Attention is all you need" (2017), equation 1, over the positions of a map.

    It has no weights: the scale 1 / sqrt(D) lies in the query. A file of any scheme keeps it float.
    """

    def __init__(self, head_channels: int) -> None:
        super().__init__()
        self.head_channels = head_channels
        self.scores = Scores()
        self.softmax = nn.Softmax(dim=2)
        self.mix = Mix()

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Maps (B, heads * D, mels, frames) -> the same shape."""
        _, channels, mels, frames = query.shape
        asked, known, held = (
            part.reshape(-1, self.head_channels, mels * frames) for part in (query, key, value)
        )
        mixed: Tensor = self.mix(held, self.softmax(self.scores(asked, known)))
        return mixed.reshape(-1, channels, mels, frames)


class Attending(nn.Module):
    """Attention between its projections, with a skip.

    The query's normalisation begins with attention's scale: that costs no operator, and how sharply each
    channel asks is learned.
    """

    def __init__(self, channels: int, block: AttentionBlock) -> None:
        super().__init__()
        wide = block.heads * block.head_channels
        self.query, self.key, self.value = (
            convolution(channels, wide, kernel=1, linear=True) for _ in range(3)
        )
        self.attention = Attention(block.head_channels)
        self.out = convolution(wide, channels, kernel=1, linear=True)
        norm = self.query[-1]
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.constant_(norm.weight, block.head_channels**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, mels, frames) -> the same shape."""
        y: Tensor = self.out(self.attention(self.query(x), self.key(x), self.value(x)))
        return x + y


class Feeding(nn.Module):
    """Two 1 x 1 convolutions with ReLU6 between them, with a skip."""

    def __init__(self, channels: int, expansion: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            convolution(channels, channels * expansion, kernel=1),
            convolution(channels * expansion, channels, kernel=1, linear=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, mels, frames) -> the same shape."""
        y: Tensor = self.layers(x)
        return x + y


class Transformer(nn.Sequential):
    """What a position takes from all others, then what it makes of that alone."""

    def __init__(self, channels: int, block: AttentionBlock) -> None:
        super().__init__(Attending(channels, block), Feeding(channels, block.expansion))
