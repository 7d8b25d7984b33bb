"""A tiny encoder and recordings whose reports say what they sound like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from acula_edge.contract import AudioContract
from acula_edge.encoders.cola import BilinearSimilarity, cola_loss, halves
from acula_edge.encoders.protocol import AudioEncoder, EncoderContract
from acula_edge.teacher.align import AlignmentModel
from acula_edge.teacher.config import TeacherConfig
from acula_edge.teacher.pairs import PairBatch, Pairs

RATE_HZ = 4000
CONTRACT = AudioContract.make(
    normalisation={"mean": (-8.0,) * 48, "std": (4.0,) * 48}, clip_samples=2 * RATE_HZ
)
SMALL = {"projection_hidden": 32, "projection_dim": 16, "crop_seconds": 0.5, "encoder_rate": 1.0}


class TinyEncoder(AudioEncoder):
    """A strided convolution (the trunk), then a convolution in groups and a linear layer."""

    contract = EncoderContract(RATE_HZ, None, "samples")
    dim = 16
    pretrained = True
    caches_trunk = True

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, 8, 64, stride=32)
        self.mix = nn.Conv1d(8, 8, 3, padding=1, groups=8)
        self.last = nn.Linear(8, 8)
        self.drop = nn.Dropout(0.0)
        self.similarity = BilinearSimilarity(8, width=6)

    def trunk(self, waveform: Tensor) -> Tensor:
        return torch.relu(self.first(waveform.unsqueeze(1))).transpose(1, 2)

    def top(self, hidden: Tensor) -> Tensor:
        mixed = self.mix(hidden.transpose(1, 2)).transpose(1, 2)
        frames: Tensor = self.last(self.drop(torch.tanh(mixed + hidden)))
        return frames

    def pool(self, frames: Tensor) -> Tensor:
        return torch.cat([frames.mean(1), frames.std(1, correction=0)], dim=1)

    def ssl_views(self, waveform: Tensor | None, frames: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG002
        return halves(frames)

    def ssl_loss(self, *views: Tensor) -> Tensor:
        first, second = views
        return cola_loss(first, second, self.similarity)

    def trunk_modules(self) -> Sequence[nn.Module | nn.Parameter]:
        return [self.first]


class Float64Model(AlignmentModel):
    """In float64: Adam blows up the rounding of gradients that are 0, as a bias before CKA has."""

    def represent(self, batch: PairBatch) -> tuple[Tensor, ...]:
        return super().represent(replace(batch, inputs=batch.inputs.double(), texts=batch.texts.double()))


def tiny_encoder() -> TinyEncoder:
    torch.manual_seed(0)
    return TinyEncoder()


def tiny_config(**changes: object) -> TeacherConfig:
    return TeacherConfig.model_validate({**SMALL, "dropout": 0.0, "batch_size": 12, **changes})


def tone_pairs(n: int, seed: int, forms: int = 1, unpaired: int = 0) -> Pairs:
    """Tones of 2 s whose pitch is told by the text; the last `unpaired` have no report."""
    rng = np.random.default_rng(seed)
    pitch_hz = rng.uniform(100, 1500, size=n)
    time = np.arange(2 * RATE_HZ) / RATE_HZ
    waves = 8000 * np.sin(2 * np.pi * pitch_hz[:, None] * time) + rng.normal(0, 300, size=(n, time.size))
    code = np.log(pitch_hz)
    texts = np.stack([np.cos(code * k) for k in range(1, 9)], axis=1).astype(np.float32)
    wordings = (texts - texts.mean(0))[:, None] + rng.normal(0, 0.01, size=(n, forms, 8))
    paired = np.arange(n) < n - unpaired
    return Pairs(
        tuple(waves.astype(np.int16)), wordings.astype(np.float32), paired, ("a",) * n, float(RATE_HZ)
    )
