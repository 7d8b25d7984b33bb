"""Clips with features, teacher targets and labels: what the student is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording
from acula_edge.errors import ArtifactError
from acula_edge.frontend import log_mel
from acula_edge.progress import track

TARGETS_FILE = "targets.safetensors"


@dataclass(frozen=True)
class Clips:
    """All clips of some recordings.

    `features` (n, 1, n_mels, n_frames) are normalised by the contract, `teacher` (n, D) are the
    teacher's embeddings, `labels` (n, tasks) class indices or -1, `owner` (n,) each clip's recording.
    """

    recordings: tuple[Recording, ...]
    features: Tensor
    teacher: Tensor
    labels: Tensor
    owner: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.owner)


def load_clips(dataset: Dataset, teacher: Artifact, recordings: Sequence[Recording], label: str) -> Clips:
    """Features, targets and labels of every clip; ArtifactError if the teacher has no target for one."""
    features, targets, owner = [], [], []
    with safe_open(teacher.file(TARGETS_FILE), framework="pt") as stored:
        known = set(stored.keys())
        for index, recording in enumerate(track(recordings, len(recordings), label)):
            name = f"embedding.{recording.id}"
            if name not in known:
                raise ArtifactError(
                    f"{teacher.path} has no target for recording {recording.id}; it was made from another "
                    f"dataset: train the teacher again"
                )
            own = log_mel(dataset.clips(recording), dataset.contract)
            features.append(torch.from_numpy(own).unsqueeze(1))
            targets.append(stored.get_tensor(name))
            owner.extend([index] * len(own))
    rows = [[item.labels.get(task.name, -1) for task in dataset.tasks] for item in recordings]
    owners = np.array(owner, dtype=np.intp)
    labels = torch.tensor(rows, dtype=torch.int64)[owners]
    return Clips(tuple(recordings), torch.cat(features), torch.cat(targets), labels, owners)
