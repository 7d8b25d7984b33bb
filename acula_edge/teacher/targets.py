"""Targets: what the aligned teacher says of every training and validation clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from acula_edge.data.recording import Recording
from acula_edge.encoders.teacher_model import TeacherModel

TARGETS_FILE = "targets.safetensors"


def save_targets(
    recordings: Sequence[Recording],
    clips: Sequence[NDArray[np.float32]],
    model: TeacherModel,
    folder: Path,
) -> None:
    """Write `targets.safetensors`: `embedding.<id>` (k, D) and `logits.<id>` (k, K) for each recording."""
    tensors = {}
    for recording, embeddings in zip(recordings, clips, strict=True):
        tensors[f"embedding.{recording.id}"] = torch.from_numpy(embeddings)
        tensors[f"logits.{recording.id}"] = torch.from_numpy(embeddings @ model.weight.T + model.bias)
    save_file(tensors, folder / TARGETS_FILE)
