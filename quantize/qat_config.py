"""QatConfig: how long, how fast and on how many clips a student learns to live with INT8."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt


class QatConfig(BaseModel):
    """Quantisation-aware training on one clip of each of `clips` training recordings; few epochs are enough.

    `ema_decay` is that of the average weights, which are the ones kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    clips: PositiveInt = 1024
    epochs: PositiveInt = 4
    batch_size: PositiveInt = 32
    learning_rate: PositiveFloat = 3e-4
    ema_decay: float = Field(default=0.99, ge=0, lt=1)
