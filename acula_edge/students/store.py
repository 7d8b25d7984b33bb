"""A student on disk: `student.safetensors` (weights) and `student.json` (shape).

Where weights were trained again for INT8, they lie beside it in `retrained.safetensors`.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from acula_edge.artifact import Artifact, write_json
from acula_edge.errors import ArtifactError
from acula_edge.students.config import StudentConfig
from acula_edge.students.student import Student

WEIGHTS = "student.safetensors"
RETRAINED = "retrained.safetensors"
SHAPE = "student.json"


class StudentShape(BaseModel):
    """`student.json`: all that is needed to build the network before its weights are read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: StudentConfig
    n_mels: PositiveInt
    n_frames: PositiveInt
    n_logits: PositiveInt


def save_student(folder: Path, model: Student) -> None:
    """Write `model` into `folder`; equal weights give equal bytes."""
    shape = StudentShape(
        config=model.config, n_mels=model.n_mels, n_frames=model.n_frames, n_logits=model.n_logits
    )
    save_weights(model, folder / WEIGHTS)
    write_json(folder / SHAPE, shape.model_dump(mode="json"))


def save_weights(model: Student, path: Path) -> None:
    """Write the weights alone; equal weights give equal bytes."""
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)


def load_student(artifact: Artifact, weights_file: str = WEIGHTS) -> Student:
    """The student of `artifact`, or with RETRAINED its INT8 weights in float; evaluation mode, on the CPU.

    Raises ArtifactError if a file is missing, unreadable, or the weights do not fit the shape.
    """
    path = artifact.file(SHAPE)
    try:
        shape = StudentShape.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "file"
        raise ArtifactError(f"{path}: {field}: {first['msg']}; distil the student again") from None
    model = Student(shape.config, shape.n_mels, shape.n_frames, shape.n_logits)
    weights = artifact.file(weights_file)
    try:
        model.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0].rstrip(":")
        raise ArtifactError(
            f"{weights} does not hold this student's weights ({reason}); distil it again"
        ) from None
    return model.eval()
