"""QuantizeConfig: scheme, calibration and tuning, and the bounds of parity and of the other gates."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from quantize.calibration import CalibrationConfig
from quantize.gates_config import GatesConfig
from quantize.scheme import Scheme, SchemeConfig
from quantize.thresholds_config import ThresholdsConfig
from quantize.tuning_config import TuningConfig


class QuantizeConfig(BaseModel):
    """With `tuning`, scheme and calibration are where the search begins.

    Calibration clips come from the training split, parity clips from the validation split.

    `max_float_error` bounds |float graph - eager model| over all outputs; the cosines bound embeddings,
    clip by clip: INT8 .pte against INT8 .tflite, and each INT8 graph's PCM form against its features form.
    There a short embedding counts as one of the median length: the steps of the grid are those of the
    longest, so that its own cosine is about rounding.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheme: SchemeConfig = SchemeConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    tuning: TuningConfig | None = None
    calibration_clips: PositiveInt = 256
    parity_clips: PositiveInt = 64
    max_float_error: PositiveFloat = 1e-4
    min_int8_cosine: float = Field(default=0.97, ge=-1, le=1)
    min_pcm_cosine: float = Field(default=0.99, ge=-1, le=1)
    gates: GatesConfig = GatesConfig()
    thresholds: ThresholdsConfig = ThresholdsConfig()
    seed: int = 0

    @property
    def integer_only(self) -> bool:
        """Whether the .tflite computes with INT8 from end to end, whatever tuning finds."""
        may_float = self.tuning is not None and self.tuning.max_float_layers > 0
        return self.scheme.tflite is Scheme.STATIC and not self.scheme.float_modules and not may_float
