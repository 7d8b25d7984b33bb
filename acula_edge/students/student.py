"""Student: the network that goes onto the device, on log-mel features.

ReLU6 and plain convolutions: each of these operators has an INT8 kernel on every target, and batch
normalisation folds into the convolutions. Blocks of attention, for phones alone, stand between them.
"""

from __future__ import annotations

from torch import Tensor, nn

from acula_edge.students.attention import Transformer
from acula_edge.students.blocks import InvertedResidual, Separable, convolution
from acula_edge.students.config import AttentionBlock, Block, StudentConfig


class Student(nn.Module):
    """From log-mel features to an embedding and the logits of all tasks.

    `n_mels` x `n_frames` is the size of the features, `n_logits` that of the concatenated task heads.
    """

    def __init__(self, config: StudentConfig, n_mels: int, n_frames: int, n_logits: int) -> None:
        super().__init__()
        self.config = config
        self.n_mels = n_mels
        self.n_frames = n_frames
        self.n_logits = n_logits
        stem = convolution(1, config.stem_channels, stride=(2, 2), causal=config.causal)
        blocks, channels = _stack(config)
        self.trunk = nn.Sequential(stem, *blocks)
        if config.top_channels:
            self.trunk.append(convolution(channels, config.top_channels, kernel=1))
            channels = config.top_channels
        self.dropout = nn.Dropout(config.dropout)
        self.embedding = nn.Linear(channels, config.embedding_dim)
        self.head = nn.Linear(config.embedding_dim, n_logits)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, 1, n_mels, n_frames) float32 -> embedding (B, E), logits (B, n_logits), float32."""
        # keepdim: back ends delegate a mean over both spatial axes only if the map stays 4-dimensional.
        pooled = self.trunk(features).mean((2, 3), keepdim=True)
        embedding = self.embedding(self.dropout(pooled.flatten(1)))
        return embedding, self.head(embedding)


def _stack(config: StudentConfig) -> tuple[list[nn.Module], int]:
    """The blocks one after the other, and the channels that the last one puts out."""
    layers: list[nn.Module] = []
    channels = config.stem_channels
    for block in config.blocks:
        layers.append(_block(channels, block, config.causal))
        channels = channels if isinstance(block, AttentionBlock) else block.channels
    return layers, channels


def _block(inputs: int, block: Block | AttentionBlock, causal: bool) -> nn.Module:
    if isinstance(block, AttentionBlock):
        return Transformer(inputs, block)
    if block.expansion is None:
        return Separable(inputs, block, causal)
    return InvertedResidual(inputs, block, block.expansion, causal)
