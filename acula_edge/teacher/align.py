"""Alignment: the frozen language model's report embeddings teach the audio encoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acula_edge.checkpoint import EpochRecord, Schedule, fit
from acula_edge.encoders.protocol import AudioEncoder
from acula_edge.teacher.config import TeacherConfig
from acula_edge.teacher.losses import LOSSES
from acula_edge.teacher.projection import ProjectionHead


@dataclass(frozen=True)
class Pairs:
    """Recordings and the embeddings of their reports.

    `waveforms` holds int16 samples at the encoder's rate, `texts` is (n, q) float32, and `sources`
    names each recording's data set.
    """

    waveforms: tuple[NDArray[np.int16], ...]
    texts: NDArray[np.float32]
    sources: tuple[str, ...]

    def shuffled(self, seed: int) -> Pairs:
        """The control: each recording gets the report of another one of its own data set."""
        order = np.arange(len(self.sources))
        rng = np.random.default_rng(seed)
        for source in sorted(set(self.sources)):
            where = np.flatnonzero(np.array(self.sources) == source)
            order[where] = rng.permutation(where)
        return Pairs(self.waveforms, self.texts[order], self.sources)


@dataclass(frozen=True)
class PairBatch:
    """Crops (B, samples) float32 in [-1, 1] and report embeddings (B, q)."""

    audio: Tensor
    text: Tensor


class AlignmentModel(nn.Module):
    """An audio encoder and the two projection heads into the shared space."""

    def __init__(self, encoder: AudioEncoder, text_dim: int, config: TeacherConfig) -> None:
        super().__init__()
        shape = (config.projection_hidden, config.projection_dim, config.dropout)
        self.encoder = encoder
        self.audio_head = ProjectionHead(encoder.dim, *shape)
        self.text_head = ProjectionHead(text_dim, *shape)
        self._align = LOSSES[config.alignment]
        self._weights = (config.alignment_weight, config.ssl_weight)

    def forward(self, batch: PairBatch) -> Tensor:
        """alignment_weight * L_align + ssl_weight * L_ssl (AcuLA, section 3)."""
        frames = self.encoder.frames(batch.audio)
        audio = self.audio_head(self.encoder.pool(frames))
        aligned: Tensor = self._align(audio, self.text_head(batch.text))
        return self._weights[0] * aligned + self._weights[1] * self.encoder.ssl_loss(
            *self.encoder.ssl_views(batch.audio, frames)
        )


def align(
    model: AlignmentModel, train: Pairs, val: Pairs, config: TeacherConfig, checkpoint: Path, label: str
) -> list[EpochRecord]:
    """Train `model` in place; the validation score is minus the loss on the validation pairs."""
    crop = round(config.crop_seconds * model.encoder.contract.sample_rate_hz)
    batches = source_batches(train.sources, config.batch_size, np.random.default_rng(config.seed))
    schedule = Schedule(
        epochs=config.epochs,
        steps_per_epoch=len(batches),
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        warmup_steps=config.warmup_steps,
        clip_norm=config.clip_norm,
        seed=config.seed,
    )

    def draw(_epoch: int, rng: np.random.Generator) -> Iterator[PairBatch]:
        return _draw(train, source_batches(train.sources, config.batch_size, rng), crop, rng)

    def score() -> float:
        return -validation_loss(model, val, crop, config)

    def rate_of(name: str) -> float:
        new = not name.startswith("encoder.") or name.startswith("encoder.similarity.")
        return 1.0 if new else config.encoder_rate

    return fit(model, draw, model, score, schedule, checkpoint, label, rate_of)


def source_batches(
    sources: tuple[str, ...], batch_size: int, rng: np.random.Generator
) -> list[NDArray[np.intp]]:
    """Shuffled index batches of at least `batch_size` where the data set has as many, each from one data set.

    CKA over a mixed batch is mostly about which data set a recording comes from, which any encoder
    knows; within one data set the reports differ by what is heard. The number of batches does not
    depend on `rng`.
    """
    batches: list[NDArray[np.intp]] = []
    for source in sorted(set(sources)):
        where = rng.permutation(np.flatnonzero(np.array(sources) == source))
        batches.extend(np.array_split(where, max(1, where.size // batch_size)))
    return [batches[index] for index in rng.permutation(len(batches)) if batches[index].size > 1]


def crop_of(waveform: NDArray[np.int16], samples: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """A random crop (samples,); a shorter waveform is repeated."""
    if waveform.size < samples:
        waveform = np.tile(waveform, -(-samples // waveform.size))
    start = int(rng.integers(0, waveform.size - samples + 1))
    return waveform[start : start + samples]


def crops(pairs: Pairs, indices: NDArray[np.intp], samples: int, rng: np.random.Generator) -> Tensor:
    """One random crop of each recording with a random gain of +-6 dB: (B, samples) in [-1, 1]."""
    cut = np.stack([crop_of(pairs.waveforms[index], samples, rng) for index in indices])
    gain = 10.0 ** (rng.uniform(-6.0, 6.0, size=(len(indices), 1)) / 20.0)
    return torch.from_numpy(np.clip(cut * (gain / 32768.0), -1.0, 1.0).astype(np.float32))


def _draw(
    pairs: Pairs, batches: list[NDArray[np.intp]], samples: int, rng: np.random.Generator
) -> Iterator[PairBatch]:
    for indices in batches:
        yield PairBatch(crops(pairs, indices, samples, rng), torch.from_numpy(pairs.texts[indices]))


@torch.no_grad()
def validation_loss(model: AlignmentModel, val: Pairs, samples: int, config: TeacherConfig) -> float:
    """Mean loss over the validation pairs, on crops and batches that do not change between epochs."""
    model.eval()
    rng = np.random.default_rng([config.seed, len(val.sources)])
    batches = source_batches(val.sources, config.batch_size, rng)
    losses = [float(model(batch)) for batch in _draw(val, batches, samples, rng)]
    return float(np.mean(losses))
