"""A small audio encoder trained from scratch, for machines without pretrained weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from acula_edge.contract import AudioContract
from acula_edge.encoders.cola import BilinearSimilarity, cola_loss
from acula_edge.encoders.protocol import AudioEncoder
from acula_edge.frontend import log_mel_module

_WIDTHS = (32, 64, 96, 128)


class SmallEncoder(AudioEncoder):
    """Four strided convolutions on the contract's features; 256-d; pre-trained by COLA."""

    dim = 2 * _WIDTHS[-1]
    pretrained = False

    def __init__(self, contract: AudioContract) -> None:
        super().__init__()
        self.sample_rate_hz = contract.sample_rate_hz
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

    def frames(self, waveform: Tensor) -> Tensor:
        """(B, samples) float32 in [-1, 1] -> (B, T, 128), one vector every 16 hops."""
        pcm = (waveform * 32768.0).round().clamp(-32768, 32767).to(torch.int16)
        features = self.layers(self.log_mel(pcm))
        return F.adaptive_avg_pool2d(features, (1, None)).squeeze(2).transpose(1, 2)

    def pool(self, frames: Tensor) -> Tensor:
        """(B, T, 128) -> (B, 256): mean and standard deviation over time."""
        return torch.cat([frames.mean(1), frames.std(1, correction=0)], dim=1)

    def ssl_loss(self, frames: Tensor) -> Tensor:
        """COLA between the two halves of each clip."""
        half = frames.shape[1] // 2
        return cola_loss(frames[:, :half].mean(1), frames[:, half:].mean(1), self.similarity)
