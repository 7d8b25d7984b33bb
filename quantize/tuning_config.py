"""TuningConfig: how much validation AUROC INT8 may cost, and how many trials may be spent to get there."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator

from acula_edge.runtime.runner import Runtime
from quantize.scheme import Scheme, require_scheme


class TuningConfig(BaseModel):
    """Trials end with the first one within `tolerable_loss` of the float student's mean AUROC.

    `clips` validation recordings are scored, one clip of each, by the files of `runtime`: both runtimes lie
    on the same grids, and a .tflite is made in a moment. `max_float_layers` bounds how many layers may stay
    float; `qat` also tries training, with the settings of the scheme or its defaults.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trials: PositiveInt = 12
    tolerable_loss: float = Field(default=0.005, ge=0, lt=1)
    clips: PositiveInt = 512
    runtime: Runtime = Runtime.TFLITE
    max_float_layers: int = Field(default=4, ge=0)
    qat: bool = True

    @field_validator("runtime")
    @classmethod
    def _has_int8(cls, runtime: Runtime) -> Runtime:
        require_scheme(Scheme.STATIC, runtime)
        return runtime
