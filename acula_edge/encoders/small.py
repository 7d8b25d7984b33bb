"""A small audio encoder trained from scratch, for machines without pretrained weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from acula_edge.contract import AudioContract
from acula_edge.encoders.cola import BilinearSimilarity, cola_loss, halves
from acula_edge.encoders.protocol import AudioEncoder, EncoderContract
from acula_edge.frontend import log_mel_module

_WIDTHS = (32, 64, 96, 128)


class SmallEncoder(AudioEncoder):
    """Four strided convolutions on the contract's features; 256-d; pre-trained by COLA."""

    dim = 2 * _WIDTHS[-1]
    pretrained = False
    caches_trunk = True

    def __init__(self, contract: AudioContract) -> None:
        super().__init__()
        features = f"{contract.n_mels} mels, the device's own"
        self.contract = EncoderContract(contract.sample_rate_hz, None, features)
        self.log_mel = log_mel_module(contract)
        layers: list[nn.Module] = []
        channels = 1
        for width in _WIDTHS:
            layers += [
                nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            channels = width
        self.layers = nn.Sequential(*layers)
        self.similarity = BilinearSimilarity(_WIDTHS[-1])

    def trunk(self, waveform: Tensor) -> Tensor:
        """(B, samples) float32 in [-1, 1] -> (B, T, 1, mels): the features, there is nothing to keep."""
        pcm = (waveform * 32768.0).round().clamp(-32768, 32767).to(torch.int16)
        features: Tensor = self.log_mel(pcm).permute(0, 3, 1, 2)
        return features

    def top(self, hidden: Tensor) -> Tensor:
        """(B, T, 1, mels) -> (B, T', 128), one vector every 16 hops."""
        maps = self.layers(hidden.permute(0, 2, 3, 1))
        frames: Tensor = maps.mean(2).transpose(1, 2)
        return frames

    def trunk_modules(self) -> Sequence[nn.Module | nn.Parameter]:
        """None: every layer is trained."""
        return []

    def pool(self, frames: Tensor) -> Tensor:
        """(B, T, 128) -> (B, 256): mean and standard deviation over time."""
        return torch.cat([frames.mean(1), frames.std(1, correction=0)], dim=1)

    def ssl_views(self, waveform: Tensor | None, frames: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG002
        """The mean frame of each half of the clip: (B, 128), (B, 128)."""
        return halves(frames)

    def ssl_loss(self, *views: Tensor) -> Tensor:
        """COLA between the two halves of each clip."""
        first, second = views
        return cola_loss(first, second, self.similarity)
