"""Student: the network that goes onto the device, a CNN on log-mel features.

ReLU6 and plain convolutions only: each operator has an INT8 kernel on every target, and batch
normalisation folds into the convolutions.
"""

from __future__ import annotations

from torch import Tensor, nn

from acula_edge.students.blocks import convolution, stack
from acula_edge.students.config import StudentConfig


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
        blocks, channels = stack(config.stem_channels, config.blocks, config.causal)
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
