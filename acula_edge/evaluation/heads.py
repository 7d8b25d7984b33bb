"""Heads: an encoder's way into the space that it shares with the reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from acula_edge.artifact import Artifact
from acula_edge.encoders.projection import ProjectionHead
from acula_edge.encoders.teacher_model import Variant

_PROTOTYPES = "prototypes."

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Heads:
    """Both projection heads, and for each task a prototype (classes, d) of its reports.

    A class that no training report belongs to has a zero row.
    """

    audio_head: ProjectionHead
    text_head: ProjectionHead
    prototypes: dict[str, Floats]

    @classmethod
    def open_all(cls, teacher: Artifact) -> dict[str, Heads]:
        """Those of every variant that a Teacher artifact keeps them for."""
        files = {str(name): f"heads_{name}.safetensors" for name in Variant}
        return {name: cls._open(teacher.file(file)) for name, file in files.items() if teacher.has(file)}

    @classmethod
    def _open(cls, file: Path) -> Heads:
        tensors = load_file(file)
        found = {
            name.removeprefix(_PROTOTYPES): value.numpy()
            for name, value in tensors.items()
            if name.startswith(_PROTOTYPES)
        }
        return cls(_head(tensors, "audio_head."), _head(tensors, "text_head."), found)

    def audio(self, embeddings: Floats) -> Floats:
        """Recordings (n, D) -> (n, d)."""
        return _project(self.audio_head, embeddings)

    def text(self, texts: Floats) -> Floats:
        """Report embeddings (n, q) -> (n, d)."""
        return _project(self.text_head, texts)


def _head(tensors: dict[str, Tensor], prefix: str) -> ProjectionHead:
    state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    (hidden, dim), (out, _) = state["layers.0.weight"].shape, state["layers.3.weight"].shape
    head = ProjectionHead(dim, hidden, out, dropout=0.0)
    head.load_state_dict(state)
    return head.eval()


@torch.no_grad()
def _project(head: ProjectionHead, rows: Floats) -> Floats:
    return np.asarray(head(torch.from_numpy(rows)).numpy(), dtype=np.float32)
