"""TextSpace: the space that a student's embedding and the reports share.

It is the teacher's shared space in its first E principal directions. They do not depend on E, so that
the embeddings of all students of one teacher are nested: the first 64 numbers of a 128-dimensional
student's mean what those of a 64-dimensional one mean. File: `space.safetensors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acula_edge.artifact import Artifact
from acula_edge.errors import ArtifactError

SPACE = "space.safetensors"
_PROTOTYPES = "prototypes."
_TINY = 1e-12

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class TextSpace:
    """E directions of the teacher's shared space, and what the classes' reports say in them.

    `basis` (S, E) has orthonormal columns. `prototypes[task]` (classes, E) has rows of length 1; that of a
    class without a report is zero. `kept` is the part of the training vectors' squared length that lies in
    these directions.
    """

    basis: Floats
    prototypes: Mapping[str, Floats]
    kept: float

    @property
    def dim(self) -> int:
        """E."""
        return int(self.basis.shape[1])

    def reduce(self, vectors: NDArray[np.floating]) -> Floats:
        """Vectors (n, S) of the teacher's shared space -> (n, E), of length 1."""
        return unit_rows(vectors.astype(np.float32) @ self.basis)

    def scores(self, embedding: NDArray[np.floating], task: str) -> Floats:
        """Cosines (n, classes) of embeddings (n, E) and the class prototypes of `task`.

        Raises ArtifactError for a task without prototypes.
        """
        if task not in self.prototypes:
            known = ", ".join(self.prototypes)
            raise ArtifactError(f"the text space has no prototypes of task {task}; it has those of {known}")
        return unit_rows(embedding) @ self.prototypes[task].T

    def save(self, folder: Path) -> None:
        """Write `space.safetensors` into `folder`."""
        from safetensors.numpy import save_file

        tensors = {"basis": self.basis, "kept": np.array([self.kept])}
        tensors |= {f"{_PROTOTYPES}{task}": rows for task, rows in self.prototypes.items()}
        save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, folder / SPACE)

    @classmethod
    def open(cls, artifact: Artifact) -> TextSpace:
        """The space of a student, or of what was made from it.

        Raises ArtifactError if the file is missing or is not one.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = artifact.file(SPACE)
        try:
            tensors = load_file(path)
            prototypes = {
                name.removeprefix(_PROTOTYPES): rows
                for name, rows in tensors.items()
                if name.startswith(_PROTOTYPES)
            }
            return cls(tensors["basis"], prototypes, float(tensors["kept"][0]))
        except (SafetensorError, KeyError) as error:
            raise ArtifactError(f"{path} is not a text space ({error}); distil the student again") from None


def unit_rows(vectors: NDArray[np.floating]) -> Floats:
    """Rows (n, d) at length 1, as float32; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, _TINY), dtype=np.float32)
