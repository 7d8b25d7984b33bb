"""`tiny`: for a Cortex-M4 with 64 KiB for activations; at most 40 k parameters.

The first maps, large ones, are so narrow that 64 KiB are enough even for a runtime that copies a map to
pad it, as LiteRT does.
"""

from __future__ import annotations

from acula_edge.students.config import Block, StudentConfig

TINY = StudentConfig(
    stem_channels=8,
    blocks=(
        Block(channels=16, frame_stride=2),
        Block(channels=48, mel_stride=2, frame_stride=2),
        Block(channels=64, mel_stride=2),
        Block(channels=64, frame_stride=2),
        Block(channels=96, mel_stride=2),
        Block(channels=112),
    ),
    embedding_dim=64,
)
