"""`base`: for a phone; at most 1 M parameters.

Inverted residuals in the proportions of MobileNetV3 and EfficientAT (Schmid et al., ICASSP 2023), without
squeeze-and-excitation and hard-swish: neither is causal or cheap in INT8.
"""

from __future__ import annotations

from acula_edge.students.config import Block, StudentConfig

BASE = StudentConfig(
    stem_channels=16,
    blocks=(
        Block(channels=16, expansion=1),
        Block(channels=24, expansion=4, mel_stride=2, frame_stride=2),
        Block(channels=24, expansion=3),
        Block(channels=40, expansion=3, kernel=5, mel_stride=2, frame_stride=2),
        Block(channels=40, expansion=3, kernel=5),
        Block(channels=80, expansion=6, frame_stride=2),
        Block(channels=80, expansion=3),
        Block(channels=112, expansion=6),
        Block(channels=112, expansion=6, kernel=5, mel_stride=2, frame_stride=2),
        Block(channels=112, expansion=6, kernel=5),
    ),
    top_channels=512,
)
