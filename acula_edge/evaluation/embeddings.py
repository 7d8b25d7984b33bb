"""Embeddings: every recording as every encoder of a teacher hears it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording, Split
from acula_edge.encoders.protocol import AudioEncoder
from acula_edge.encoders.teacher_model import TeacherModel, hear_clips
from acula_edge.progress import track
from acula_edge.teacher.probe import Embedded

_BATCH = 16

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Embeddings:
    """`audio` holds for each variant (n, D), the mean over a recording's clips; `texts` (n, q) its report.

    A recording without a report has zeros there.
    """

    recordings: Sequence[Recording]
    audio: dict[str, Floats]
    texts: Floats

    def rows(self, split: Split) -> Rows:
        """Where the recordings of a split stand."""
        found = [row for row, recording in enumerate(self.recordings) if recording.split is split]
        return np.array(found, dtype=np.int64)

    def at(self, variant: str, rows: Rows) -> Embedded:
        """Some recordings and their embeddings by one variant."""
        return Embedded([self.recordings[row] for row in rows], self.audio[variant][rows])

    def part(self, rows: Rows) -> Embeddings:
        """Some recordings alone."""
        audio = {name: found[rows] for name, found in self.audio.items()}
        return Embeddings([self.recordings[row] for row in rows], audio, self.texts[rows])


def embed_all(
    models: Mapping[str, TeacherModel], dataset: Dataset, recordings: Sequence[Recording], one_trunk: bool
) -> dict[str, Floats]:
    """Embeddings (n, D) of every recording by every model, in one pass over the audio.

    `one_trunk` says that the models have the early layers in common, which are then computed once.
    """
    encoders = {name: model.encoder.eval() for name, model in models.items()}
    embed = _embed_with_one_trunk if one_trunk else _embed
    first = next(iter(encoders.values()))
    rows: dict[str, list[Floats]] = {name: [] for name in encoders}
    for recording in track(recordings, len(recordings), "Embedding recordings"):
        clips = hear_clips(first, dataset.clips(recording), dataset.contract)
        with torch.no_grad():
            parts = [embed(encoders, batch) for batch in torch.split(clips, _BATCH)]
        for name, found in rows.items():
            found.append(torch.cat([part[name] for part in parts]).numpy().mean(axis=0))
    return {name: np.stack(found) for name, found in rows.items()}


def _embed_with_one_trunk(encoders: Mapping[str, AudioEncoder], clips: Tensor) -> dict[str, Tensor]:
    hidden = next(iter(encoders.values())).trunk(clips)
    return {name: encoder.pool(encoder.top(hidden)) for name, encoder in encoders.items()}


def _embed(encoders: Mapping[str, AudioEncoder], clips: Tensor) -> dict[str, Tensor]:
    return {name: encoder.embed(clips) for name, encoder in encoders.items()}
