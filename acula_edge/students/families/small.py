"""`small`: for a Cortex-M7 or M33; at most 120 k parameters.

The strides reduce time first, where a clip is long, so that most parameters stand where the map is
small and cheap.
"""

from __future__ import annotations

from acula_edge.students.config import Block, StudentConfig

SMALL = StudentConfig(
    stem_channels=24,
    blocks=(
        Block(channels=32, frame_stride=2),
        Block(channels=64, mel_stride=2, frame_stride=2),
        Block(channels=96, mel_stride=2),
        Block(channels=96, frame_stride=2),
        Block(channels=128),
        Block(channels=160, mel_stride=2, frame_stride=2),
        Block(channels=160),
    ),
)
