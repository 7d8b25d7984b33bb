"""Students of every family, for what depends on their shape: with real weights where there are some.

Where there are none, the normalisation has heard real clips, so that values are spread as a real student's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.spread import spread_clips
from acula_edge.frontend import log_mel
from acula_edge.students.families import FAMILIES
from acula_edge.students.student import Student

_BEST = "best.average.shadow."  # the average weights of the best epoch


@dataclass(frozen=True)
class Sounds:
    """Real clips as PCM int16 (n, samples) and as features (n, 1, n_mels, n_frames)."""

    pcm: NDArray[np.int16]
    features: NDArray[np.float32]


def sounds(dataset: Dataset, split: Split, n: int) -> Sounds:
    """Clips spread over the recordings of a split."""
    pcm = spread_clips(dataset, split, n, 0).pcm
    return Sounds(pcm, np.ascontiguousarray(log_mel(pcm, dataset.contract)[:, None]))


def student_of(
    family: str, dataset: Dataset, features: torch.Tensor, checkpoint: Path | None = None
) -> Student:
    """From a checkpoint of benchmarks/students.py; without one, untrained, and having heard `features`."""
    contract = dataset.contract
    n_logits = sum(task.n_logits for task in dataset.tasks)
    torch.manual_seed(0)
    student = Student(FAMILIES[family].config, contract.n_mels, contract.n_frames, n_logits).train()
    if checkpoint is not None:
        stored = load_file(checkpoint)
        names = {name: name.removeprefix(_BEST) for name in stored if name.startswith(_BEST)}
        student.load_state_dict({short: stored[name] for name, short in names.items()})
        return student.eval()
    for layer in student.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        student(features)
    return student.eval()
