"""Scheme: what is INT8 in a model file, as a table of schemes and runtimes, and the settings of a build."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from acula_edge.errors import UsageError
from acula_edge.runtime.runner import Runtime
from quantize.qat_config import QatConfig


class Scheme(StrEnum):
    """Which numbers are integers, and when their grid is chosen.

    STATIC: INT8 weights and activations, both grids fixed at build time. INT16: the same with 16-bit
    activations. DYNAMIC: INT8 weights; an operator chooses the grid of its input anew for each clip.
    WEIGHT_ONLY: INT8 weights, stored small and computed with as floats.
    """

    STATIC = "static"
    INT16 = "int16-activations"
    DYNAMIC = "dynamic"
    WEIGHT_ONLY = "weight-only"


# Why a runtime lacks a scheme; a pair that is not listed works, and each one that works has a test.
_IMPOSSIBLE: Mapping[tuple[Scheme, Runtime], str] = {
    (Scheme.INT16, Runtime.PTE): "XNNPACK has no kernels with 16-bit activations",
    (Scheme.WEIGHT_ONLY, Runtime.PTE): (
        "XNNPACK leaves the convolutions to ExecuTorch's portable kernels, which take 60 times as long"
    ),
}
_MADE = (Runtime.PTE, Runtime.TFLITE)  # the runtimes that the quantize stage makes INT8 files for


def schemes_of(runtime: Runtime) -> tuple[Scheme, ...]:
    """The schemes that a runtime has; none for one that the stage makes no INT8 file for."""
    made = runtime in _MADE
    return tuple(scheme for scheme in Scheme if made and (scheme, runtime) not in _IMPOSSIBLE)


def require_scheme(scheme: Scheme, runtime: Runtime) -> None:
    """UsageError, with the reason and the schemes that the runtime has, if it lacks this one."""
    valid = schemes_of(runtime)
    if scheme not in valid:
        reason = _IMPOSSIBLE.get((scheme, runtime), "no INT8 file is made for it")
        choices = ", ".join(valid) or "none"
        raise UsageError(f"scheme {scheme} is not for .{runtime}: {reason}; it has: {choices}")


class SchemeConfig(BaseModel):
    """The scheme of each runtime's files, and what both share.

    `float_modules` names modules of the student that stay float, with all that is inside them, such as
    `trunk.0` or `head`. `per_channel` gives each output channel of a weight its own scale; LiteRT's fully
    connected layers always have them, and never in the scheme DYNAMIC. `symmetric` puts the middle of an
    activation's range at zero. With `qat` the weights are trained a little further on the grids.
    Raises UsageError for what a runtime does not have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pte: Scheme = Scheme.STATIC
    tflite: Scheme = Scheme.STATIC
    float_modules: tuple[str, ...] = ()
    per_channel: bool = True
    symmetric: bool = False
    qat: QatConfig | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        require_scheme(self.pte, Runtime.PTE)
        require_scheme(self.tflite, Runtime.TFLITE)
        if self.symmetric and not {self.pte, self.tflite} & {Scheme.STATIC, Scheme.INT16}:
            raise UsageError(
                "symmetric is for fixed activation ranges, and neither .pte nor .tflite has them; "
                f"choose {Scheme.STATIC} for one of them"
            )
        if self.pte is Scheme.DYNAMIC and not self.per_channel:
            raise UsageError(
                f"per_channel = false is not for scheme {self.pte} in a .pte: XNNPACK needs a scale for each "
                f"channel of a weight there; make per_channel true, or pte {Scheme.STATIC}"
            )
        if self.qat and (self.pte, self.tflite) != (Scheme.STATIC, Scheme.STATIC):
            raise UsageError(
                f"qat trains for the scheme {Scheme.STATIC}, not for {self.pte} and {self.tflite}; "
                f"choose {Scheme.STATIC} for both runtimes, or leave qat out"
            )
        return self

    def keeps_float(self, module: str) -> bool:
        """Whether the module of that name stays float, by its own name or by one around it."""
        return any(module == name or module.startswith(f"{name}.") for name in self.float_modules)


STATIC = SchemeConfig()
