"""Targets: what the aligned teacher says of every training and validation clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from acula_edge.data.recording import Recording
from acula_edge.encoders.teacher_model import TeacherModel
from acula_edge.teacher.align import AlignmentModel

TARGETS_FILE = "targets.safetensors"


def save_targets(
    recordings: Sequence[Recording],
    clips: Sequence[NDArray[np.float32]],
    reports: Mapping[str, NDArray[np.float32]],
    model: TeacherModel,
    shared: Shared,
    folder: Path,
) -> None:
    """Write `targets.safetensors`; `reports` are the language model's embeddings (q,), by recording.

    For each recording `embedding.<id>` (k, D), `logits.<id>` (k, K) and `aligned.<id>` (k, S), its clips
    in the space shared with text; and `report.<id>` (S,), its report there, if it has one. Vectors of the
    shared space have length 1.
    """
    tensors = {}
    for recording, embeddings in zip(recordings, clips, strict=True):
        tensors[f"embedding.{recording.id}"] = torch.from_numpy(embeddings)
        tensors[f"logits.{recording.id}"] = torch.from_numpy(embeddings @ model.weight.T + model.bias)
        tensors[f"aligned.{recording.id}"] = shared.audio(embeddings)
    tensors |= {f"report.{name}": shared.text(text) for name, text in reports.items()}
    save_file(tensors, folder / TARGETS_FILE)


class Shared:
    """The space that an alignment's two heads share."""

    def __init__(self, model: AlignmentModel) -> None:
        self._model = model.eval()

    @torch.no_grad()
    def audio(self, embeddings: NDArray[np.float32]) -> Tensor:
        """(k, D) -> (k, S), of length 1."""
        return F.normalize(self._model.audio_head(torch.from_numpy(embeddings)), dim=1)

    @torch.no_grad()
    def text(self, text: NDArray[np.float32]) -> Tensor:
        """(q,) -> (S,), of length 1."""
        return F.normalize(self._model.text_head(torch.from_numpy(text)), dim=0)
