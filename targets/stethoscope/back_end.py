"""BackEnd: whose kernels the convolutions of the C code call."""

from __future__ import annotations

from enum import StrEnum


class BackEnd(StrEnum):
    """`OWN`: the kernels in `c/`. `CMSIS_NN`: Arm's, from the pinned package that carries their sources."""

    OWN = "own"
    CMSIS_NN = "cmsis-nn"
