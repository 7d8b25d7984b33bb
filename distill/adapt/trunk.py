"""TrunkRunner: `trunk.pte`, the part of a student that stays as it is, in its runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acula_edge.runtime.divert import divert_output
from acula_edge.runtime.pte import set_threads
from acula_edge.runtime.runner import damaged


class TrunkRunner:
    """Features in, the map that `adapt.pte` takes out. Raises ArtifactError if it can not be loaded."""

    def __init__(self, path: Path) -> None:
        with divert_output():
            from executorch.extension.pybindings import _C

            set_threads(path, 1)
            try:
                self._program = _C._load_program(str(path))
                self._method = self._program.load_method("forward")
            except RuntimeError as error:
                raise damaged(path, error) from None

    def run(self, features: NDArray[np.float32]) -> Tensor:
        """Features (n, 1, n_mels, n_frames) -> maps (n, C, h, w), float32."""
        clips = torch.split(torch.from_numpy(np.ascontiguousarray(features)), 1)
        return torch.cat([self._method([clip])[0].clone() for clip in clips])
