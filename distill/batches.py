"""Batches: each clip once an epoch, in a random one of its views, with what the teacher says of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acula_edge.contract import Affine, AudioContract
from acula_edge.data.tasks import Task
from acula_edge.errors import ContractError
from distill.augment_spectrogram import augment_spectrogram
from distill.config import DistillConfig
from distill.text_space import Texts
from distill.views import Views

_LEAST_SPREAD = 1e-6
_LEAST_BATCHES, _LEAST_CLIPS = 5, 16  # an epoch's, where there are few clips, and each one's


@dataclass(frozen=True)
class Batch:
    """B views. All float32 but the last three: int64, int64 and bool.

    `features` (B, 1, n_mels, n_frames), `embedding` (B, D) of the teacher, standardised, its `logits`
    (B, K) and its place `aligned` (B, E) in the student's text space; `labels` (B, tasks) with -1 where
    unknown, `report` (B,), the row of the recording's own report, or -1, and `domain` (B, tasks), whether
    the clip comes from the task's data set: what the teacher's head says of other sounds means nothing.
    """

    features: Tensor
    embedding: Tensor
    logits: Tensor
    aligned: Tensor
    labels: Tensor
    report: Tensor
    domain: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on `device`."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


class Batches:
    """The batches of each epoch over the training views, labelled or not."""

    def __init__(
        self,
        views: Views,
        tasks: tuple[Task, ...],
        texts: Texts,
        contract: AudioContract,
        config: DistillConfig,
    ) -> None:
        self._views, self._config = views, config
        self._aligned = texts.space.reduce(views.aligned)
        self._std = torch.tensor(_normalisation(contract).std)
        wide = np.asarray(views.embedding, dtype=np.float64)
        self._centre = wide.mean(axis=0).astype(np.float32)
        self._spread = np.maximum(wide.std(axis=0), _LEAST_SPREAD).astype(np.float32)
        self._report = np.array([texts.own.get(item.id, -1) for item in views.recordings], dtype=np.int64)
        self._domain = np.array(
            [[item.dataset == task.dataset for task in tasks] for item in views.recordings]
        )
        self._by_clip = np.argsort(views.clip, kind="stable")
        _, self._first, self._count = np.unique(
            views.clip[self._by_clip], return_index=True, return_counts=True
        )

    def __len__(self) -> int:
        """Batches an epoch: on few clips smaller ones, as two steps an epoch teach little in any time."""
        clips = len(self._count)
        few = min(_LEAST_BATCHES, clips // _LEAST_CLIPS)
        return max(1, few, round(clips / self._config.batch_size))

    def draw(self, _epoch: int, rng: np.random.Generator) -> Iterator[Batch]:
        """One epoch; all randomness comes from `rng`."""
        for clips in np.array_split(rng.permutation(len(self._count)), len(self)):
            views = self._first[clips] + rng.integers(self._count[clips])
            yield self._batch(self._by_clip[views], rng)

    def _batch(self, rows: NDArray[np.intp], rng: np.random.Generator) -> Batch:
        views = self._views
        features = torch.from_numpy(views.features[rows]).float().unsqueeze(1)
        return Batch(
            augment_spectrogram(features, self._std, self._config.augment.spectrogram, rng),
            torch.from_numpy((views.embedding[rows] - self._centre) / self._spread),
            torch.from_numpy(views.logits[rows]),
            torch.from_numpy(self._aligned[rows]),
            torch.from_numpy(views.labels[rows]),
            torch.from_numpy(self._report[views.owner[rows]]),
            torch.from_numpy(self._domain[views.owner[rows]]),
        )


def _normalisation(contract: AudioContract) -> Affine:
    if contract.normalisation is None:
        raise ContractError("the audio contract has no normalisation; build the dataset again")
    return contract.normalisation
