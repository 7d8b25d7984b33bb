"""Pairs: recordings and the embeddings of their reports, and the batches that are drawn from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class PairBatch:
    """`inputs` (B, samples) or (B, T, ...) float32, `texts` (B, q) float32, `paired` (B,) 1.0 or 0.0.

    `cached` says that `inputs` are the features of the encoder's trunk.
    """

    inputs: Tensor
    texts: Tensor
    paired: Tensor
    cached: bool

    def __len__(self) -> int:
        return len(self.inputs)

    def rows(self, part: slice) -> PairBatch:
        """Some of the clips."""
        return replace(self, inputs=self.inputs[part], texts=self.texts[part], paired=self.paired[part])

    def to(self, device: torch.device) -> PairBatch:
        """The batch on `device`."""
        inputs, texts, paired = (part.to(device) for part in (self.inputs, self.texts, self.paired))
        return replace(self, inputs=inputs, texts=texts, paired=paired)


@dataclass(frozen=True)
class Pairs:
    """n recordings and what is written of them.

    `inputs` holds, for each, its int16 samples at the encoder's input rate or, where the trunk is computed
    once, its float16 features (T, ...); `rate_hz` is the number of samples or of frames in a second of it.
    `texts` (n, forms, q) float32 are the embeddings of one or more wordings of each report. Where
    `paired` (n,) is false there is no report, and the recording takes part in the self-supervised loss
    only. `sources` names each recording's data set.
    """

    inputs: tuple[NDArray[Any], ...]
    texts: NDArray[np.float32]
    paired: NDArray[np.bool_]
    sources: tuple[str, ...]
    rate_hz: float

    @property
    def cached(self) -> bool:
        """Whether the inputs are features of the encoder's trunk."""
        return bool(self.inputs) and self.inputs[0].dtype != np.int16

    def part(self, rows: slice) -> Pairs:
        """Some of the recordings."""
        inputs, texts, paired, sources = self.inputs, self.texts, self.paired, self.sources
        return Pairs(inputs[rows], texts[rows], paired[rows], sources[rows], self.rate_hz)

    def batch(self, indices: NDArray[np.intp], crop_seconds: float, rng: np.random.Generator) -> PairBatch:
        """A random crop of each recording, and one wording of its report.

        A waveform also gets a random gain of +-6 dB.
        """
        length = max(1, round(crop_seconds * self.rate_hz))
        cut = np.stack([crop_of(self.inputs[index], length, rng) for index in indices])
        if not self.cached:
            gain = 10.0 ** (rng.uniform(-6.0, 6.0, size=(len(indices), 1)) / 20.0)
            cut = np.clip(cut * (gain / 32768.0), -1.0, 1.0)
        form = rng.integers(self.texts.shape[1], size=len(indices))
        return PairBatch(
            torch.from_numpy(cut.astype(np.float32)),
            torch.from_numpy(self.texts[indices, form]),
            torch.from_numpy(self.paired[indices].astype(np.float32)),
            self.cached,
        )


def crop_of(recording: NDArray[Any], length: int, rng: np.random.Generator) -> NDArray[Any]:
    """A random crop (length, ...) along axis 0; a shorter recording is repeated."""
    if len(recording) < length:
        recording = np.concatenate([recording] * -(-length // len(recording)))
    start = int(rng.integers(0, len(recording) - length + 1))
    return recording[start : start + length]


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
