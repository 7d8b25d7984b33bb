"""`attention`: for a phone; at most 1 M parameters, of which most attend.

Inverted residuals, as in `base`, leave one frame of channels for every eight of features and no mel bands;
three transformer blocks then hear the whole clip at once. What lies before and behind a frame is known from
the convolutions, which overlap; the blocks themselves have no positions. On 32 frames the scores are small
beside the maps of the first convolutions.
"""

from __future__ import annotations

from acula_edge.students.config import AttentionBlock, Block, StudentConfig
from acula_edge.students.families.base import BASE

ATTENTION = StudentConfig(
    stem_channels=BASE.stem_channels,
    blocks=(
        *BASE.blocks[:4],
        Block(channels=64, expansion=3, mel_stride=2),
        Block(channels=96, expansion=3, mel_stride=2),
        Block(channels=96, expansion=2, mel_stride=2),
        *[AttentionBlock(heads=4, head_channels=24, expansion=2)] * 3,
    ),
    top_channels=256,
)
