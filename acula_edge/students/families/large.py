"""`large`: for a fast phone; at most 5 M parameters.

EfficientNet-Lite0 (Liu, "Higher accuracy on vision models with EfficientNet-Lite", 2020): EfficientNet-B0
(Tan and Le, ICML 2019), the shape of OPERA-CE, with ReLU6 and without squeeze-and-excitation, for INT8.
"""

from __future__ import annotations

from acula_edge.students.config import Block, Kernel, Stride, StudentConfig


def _stage(channels: int, repeats: int, stride: Stride, kernel: Kernel, expansion: int = 6) -> list[Block]:
    first = Block(
        channels=channels, expansion=expansion, kernel=kernel, mel_stride=stride, frame_stride=stride
    )
    return [first, *[Block(channels=channels, expansion=expansion, kernel=kernel)] * (repeats - 1)]


LARGE = StudentConfig(
    stem_channels=32,
    blocks=(
        *_stage(16, 1, 1, 3, expansion=1),
        *_stage(24, 2, 2, 3),
        *_stage(40, 2, 2, 5),
        *_stage(80, 3, 2, 3),
        *_stage(112, 3, 1, 5),
        *_stage(192, 4, 2, 5),
        *_stage(320, 1, 1, 3),
    ),
    top_channels=1280,
)
