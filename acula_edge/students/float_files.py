"""Float files of a student: later stages hand them on, as distillation on the device starts from them."""

from __future__ import annotations

import shutil
from pathlib import Path

from acula_edge.artifact import Artifact
from acula_edge.students.space import SPACE
from acula_edge.students.store import RETRAINED, SHAPE, WEIGHTS

FLOAT_FILES = (WEIGHTS, SHAPE, SPACE)


def hand_on(source: Artifact, folder: Path) -> None:
    """Copy them into `folder`, and the weights that were trained again if there are any.

    Raises ArtifactError if `source` lacks one.
    """
    for name in (*FLOAT_FILES, *([RETRAINED] if source.has(RETRAINED) else [])):
        shutil.copyfile(source.file(name), folder / name)
