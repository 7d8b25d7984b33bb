"""DSCNN: the student, a depthwise-separable CNN on log-mel features.

Howard et al. (2017), MobileNets; Zhang et al. (2017), Hello Edge. ReLU6 and plain convolutions only:
each operator has an INT8 kernel on every target, and batch normalisation folds into the convolutions.
"""

from __future__ import annotations

from torch import Tensor, nn

from acula_edge.students.config import Block, DSCNNConfig


class DSCNN(nn.Module):
    """From log-mel features to an embedding and the logits of all tasks.

    `n_mels` x `n_frames` is the size of the features, `n_logits` that of the concatenated task heads.
    """

    def __init__(self, config: DSCNNConfig, n_mels: int, n_frames: int, n_logits: int) -> None:
        super().__init__()
        self.config = config
        self.n_mels = n_mels
        self.n_frames = n_frames
        self.n_logits = n_logits
        layers: list[nn.Module] = _convolution(1, config.stem_channels, (2, 2))
        channels = config.stem_channels
        for block in config.blocks:
            layers += _separable(channels, block)
            channels = block.channels
        self.trunk = nn.Sequential(*layers)
        self.dropout = nn.Dropout(config.dropout)
        self.embedding = nn.Linear(channels, config.embedding_dim)
        self.head = nn.Linear(config.embedding_dim, n_logits)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, 1, n_mels, n_frames) float32 -> embedding (B, E), logits (B, n_logits), float32."""
        # keepdim: back ends delegate a mean over both spatial axes only if the map stays 4-dimensional.
        pooled = self.trunk(features).mean((2, 3), keepdim=True)
        embedding = self.embedding(self.dropout(pooled.flatten(1)))
        return embedding, self.head(embedding)


def _convolution(inputs: int, outputs: int, stride: tuple[int, int], groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU6()]


def _separable(inputs: int, block: Block) -> list[nn.Module]:
    depthwise = _convolution(inputs, inputs, (block.mel_stride, block.frame_stride), groups=inputs)
    pointwise = nn.Conv2d(inputs, block.channels, 1, bias=False)
    return [*depthwise, pointwise, nn.BatchNorm2d(block.channels), nn.ReLU6()]
