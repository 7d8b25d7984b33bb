"""Targets: what the aligned teacher says of every training and validation clip."""

from __future__ import annotations

from collections.abc import Sequence
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
from acula_edge.teacher.pairs import Pairs

TARGETS_FILE = "targets.safetensors"


def save_targets(
    recordings: Sequence[Recording],
    clips: Sequence[NDArray[np.float32]],
    model: TeacherModel,
    projected: Projected,
    folder: Path,
) -> None:
    """Write `targets.safetensors`.

    For each recording `embedding.<id>` (k, D), `logits.<id>` (k, K) and `aligned.<id>` (k, S), the clips
    in the space shared with text; and `reports` (n, S), the training reports there. Rows of the shared
    space have length 1.
    """
    tensors = {"reports": projected.reports}
    for recording, embeddings in zip(recordings, clips, strict=True):
        tensors[f"embedding.{recording.id}"] = torch.from_numpy(embeddings)
        tensors[f"logits.{recording.id}"] = torch.from_numpy(embeddings @ model.weight.T + model.bias)
        tensors[f"aligned.{recording.id}"] = projected.audio(embeddings)
    save_file(tensors, folder / TARGETS_FILE)


class Projected:
    """The shared space of an alignment: its training reports (n, S), and any clip."""

    @torch.no_grad()
    def __init__(self, model: AlignmentModel, train: Pairs) -> None:
        self._model = model.eval()
        texts = torch.from_numpy(train.texts[train.paired, 0])
        self.reports: Tensor = F.normalize(model.text_head(texts), dim=1)

    @torch.no_grad()
    def audio(self, embeddings: NDArray[np.float32]) -> Tensor:
        """(k, D) -> (k, S), of length 1."""
        return F.normalize(self._model.audio_head(torch.from_numpy(embeddings)), dim=1)
