"""The text side of distillation: the directions, prototypes and reports of the teacher's shared space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file

from acula_edge.artifact import Artifact
from acula_edge.data.recording import Recording
from acula_edge.errors import ArtifactError, UsageError
from acula_edge.students.space import TextSpace, unit_rows
from distill.maker import TARGETS_FILE

_HEADS_FILE = "heads_aligned.safetensors"
_PROTOTYPES = "prototypes."


@dataclass(frozen=True)
class Texts:
    """The space that a student learns, and the training reports in it.

    `reports` (n, E) holds every different one once, in rows of length 1; `own` is the row of each recording
    that has a report. No artifact keeps them: they tell of patients.
    """

    space: TextSpace
    reports: NDArray[np.float32]
    own: Mapping[str, int]


def learn_texts(teacher: Artifact, train: Sequence[Recording], dim: int) -> Texts:
    """The `dim` first principal directions of what the teacher says of its training recordings.

    They are those of the second moment, not centred, of the clips' unit vectors and of the reports'; both
    count the same. Give all training recordings, whatever the student is trained on, and the spaces of
    the teacher's students are nested. Raises UsageError if `dim` is wider than the teacher's space,
    ArtifactError if the teacher knows none of the recordings.
    """
    clips, reports, names = _rows(teacher, train)
    if not clips:
        raise ArtifactError(
            f"{teacher.path} has no target of any training recording; it was made from another dataset: "
            "train the teacher again"
        )
    moments = [_moment(np.concatenate(clips))] + ([_moment(np.stack(reports))] if reports else [])
    moment = np.mean(moments, axis=0)
    if dim > len(moment):
        raise UsageError(
            f"embedding_dim {dim} is wider than the teacher's shared space; choose at most {len(moment)}"
        )
    energies, basis = principal_directions(moment, dim)
    heads = load_file(teacher.file(_HEADS_FILE))
    prototypes = {
        name.removeprefix(_PROTOTYPES): unit_rows(rows @ basis)
        for name, rows in heads.items()
        if name.startswith(_PROTOTYPES)
    }
    distinct, own = _distinct(reports, len(moment))
    kept = float(energies.sum() / np.trace(moment))
    space = TextSpace(basis, prototypes, kept)
    return Texts(space, unit_rows(distinct @ basis), dict(zip(names, own, strict=True)))


def principal_directions(
    moment: NDArray[np.float64], dim: int
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """The `dim` largest eigenvalues of a second moment (S, S), and their directions (S, dim).

    The sign of each makes its largest number positive, so that equal moments give equal directions.
    """
    energies, directions = np.linalg.eigh(moment)
    energies, directions = energies[::-1][:dim], directions[:, ::-1][:, :dim]
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=0)[None], axis=0)
    return energies, np.asarray(directions * np.sign(largest), dtype=np.float32)


def _rows(
    teacher: Artifact, train: Sequence[Recording]
) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]], list[str]]:
    """Unit vectors (k, S) of each recording's clips, those (S,) of the reports, and whose they are."""
    with safe_open(teacher.file(TARGETS_FILE), framework="numpy") as stored:
        known = set(stored.keys())
        told = [item.id for item in train if f"report.{item.id}" in known]
        clips = [stored.get_tensor(name) for item in train if (name := f"aligned.{item.id}") in known]
        return clips, [stored.get_tensor(f"report.{name}") for name in told], told


def _moment(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    return np.asarray(wide.T @ wide / len(wide), dtype=np.float64)


def _distinct(reports: Sequence[NDArray[np.float32]], width: int) -> tuple[NDArray[np.float32], list[int]]:
    """Every different report once (n, S), and where each one stands among them."""
    if not reports:
        return np.zeros((0, width), dtype=np.float32), []
    rows, own = np.unique(np.stack(reports), axis=0, return_inverse=True)
    return rows, own.tolist()
