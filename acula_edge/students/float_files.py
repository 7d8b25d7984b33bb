"""Float files of a student: later stages hand them on, as distillation on the device starts from them."""

from __future__ import annotations

import shutil
from pathlib import Path

from acula_edge.artifact import Artifact
from acula_edge.students.space import SPACE
from acula_edge.students.store import SHAPE, WEIGHTS

FLOAT_FILES = (WEIGHTS, SHAPE, SPACE)


def hand_on(source: Artifact, folder: Path) -> None:
    """Copy them into `folder`. Raises ArtifactError if `source` lacks one."""
    for name in FLOAT_FILES:
        shutil.copyfile(source.file(name), folder / name)
