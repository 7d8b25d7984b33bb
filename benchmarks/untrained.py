"""Students of every family without a training, for what depends on their shape alone.

Their normalisation has heard real clips, so that their values are spread as a real student's are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from acula_edge.contract import AudioContract
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.spread import spread_clips
from acula_edge.frontend import log_mel
from acula_edge.students.families import FAMILIES
from acula_edge.students.student import Student

N_LOGITS = 15


@dataclass(frozen=True)
class Sounds:
    """Real clips as PCM int16 (n, samples) and as features (n, 1, n_mels, n_frames)."""

    pcm: NDArray[np.int16]
    features: NDArray[np.float32]


def sounds(dataset: Dataset, split: Split, n: int) -> Sounds:
    """Clips spread over the recordings of a split."""
    pcm = spread_clips(dataset, split, n, 0).pcm
    return Sounds(pcm, np.ascontiguousarray(log_mel(pcm, dataset.contract)[:, None]))


def student_of(family: str, contract: AudioContract, features: torch.Tensor) -> Student:
    """An untrained student whose normalisation has heard `features`."""
    torch.manual_seed(0)
    student = Student(FAMILIES[family].config, contract.n_mels, contract.n_frames, N_LOGITS).train()
    for layer in student.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        student(features)
    return student.eval()
