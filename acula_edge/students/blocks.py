"""Blocks of a student: convolutions with batch normalisation and ReLU6, in every form that it uses.

A causal convolution of kernel k and stride s sees k - s frames of the past and s new ones for each frame
that it puts out; the past of the first frame is silence (zeros). An offline run therefore gives what a
run hop by hop gives.
"""

from __future__ import annotations

from torch import Tensor, nn

from acula_edge.students.config import Block


def convolution(
    inputs: int,
    outputs: int,
    kernel: int = 3,
    stride: tuple[int, int] = (1, 1),
    groups: int = 1,
    causal: bool = False,
    linear: bool = False,
) -> nn.Sequential:
    """Convolution, batch normalisation and, unless `linear`, ReLU6; strides over (mel, frames)."""
    padding = (kernel // 2, 0 if causal else kernel // 2)
    layers: list[nn.Module] = []
    if causal and kernel > stride[1]:
        layers.append(nn.ZeroPad2d((kernel - stride[1], 0, 0, 0)))
    layers.append(nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False))
    layers.append(nn.BatchNorm2d(outputs))
    if not linear:
        layers.append(nn.ReLU6())
    return nn.Sequential(*layers)


class Separable(nn.Sequential):
    """Depthwise, then pointwise convolution."""

    def __init__(self, inputs: int, block: Block, causal: bool) -> None:
        stride = (block.mel_stride, block.frame_stride)
        super().__init__(
            convolution(inputs, inputs, block.kernel, stride, groups=inputs, causal=causal),
            convolution(inputs, block.channels, kernel=1),
        )


class InvertedResidual(nn.Module):
    """Widen, depthwise convolution, narrow without activation; with a skip where shapes allow."""

    def __init__(self, inputs: int, block: Block, expansion: int, causal: bool) -> None:
        super().__init__()
        stride, wide = (block.mel_stride, block.frame_stride), inputs * expansion
        widen = [convolution(inputs, wide, kernel=1)] if expansion > 1 else []
        self.layers = nn.Sequential(
            *widen,
            convolution(wide, wide, block.kernel, stride, groups=wide, causal=causal),
            convolution(wide, block.channels, kernel=1, linear=True),
        )
        self.skips = stride == (1, 1) and inputs == block.channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, mels, frames) -> (B, channels, mels / mel_stride, frames / frame_stride)."""
        y: Tensor = self.layers(x)
        return x + y if self.skips else y
