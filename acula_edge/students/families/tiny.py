"""`tiny`: for a Cortex-M4 with 64 KiB for activations; at most 40 k parameters."""

from __future__ import annotations

from acula_edge.students.config import Block, StudentConfig

TINY = StudentConfig(
    stem_channels=8,
    blocks=(
        Block(channels=24, frame_stride=2),
        Block(channels=48, mel_stride=2, frame_stride=2),
        Block(channels=64, mel_stride=2),
        Block(channels=64, frame_stride=2),
        Block(channels=96, mel_stride=2),
        Block(channels=96),
    ),
    embedding_dim=64,
)
