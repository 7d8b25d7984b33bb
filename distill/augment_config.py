"""AugmentConfig: how many views of a clip a student is trained on, and how they differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SpectrogramConfig(BaseModel):
    """Noise for the student alone, drawn anew each time a cached view is used.

    Gain of up to `gain_db` either way, a roll in time, and SpecAugment's masks: one band of at most
    `mel_mask` mels and one of at most `frame_mask` frames.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gain_db: float = Field(default=6.0, ge=0)
    mel_mask: int = Field(default=6, ge=0)
    frame_mask: int = Field(default=24, ge=0)


class AugmentConfig(BaseModel):
    """Views of each clip: the one as recorded and `views - 1` augmented ones, heard by the teacher too.

    `noise`, `microphone`, ... are how often an augmented view gets that change; every one is also moved
    in time by a random, circular shift and made louder or softer by up to `gain_db`. Noise stands at
    `snr_db` (least, most); it is generated, or cut from the audio files of `noise_folder`. Mixup takes
    its share from Beta(`mixup_alpha`, `mixup_alpha`). At most `max_clipped` of the samples are clipped.

    On the disk a view takes 2 bytes a feature and 4 a number of the teacher: 30 kB at the defaults
    (48 mels x 249 frames, 1024 + 512 numbers and the logits), so 300 MB for 5000 clips of two views.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    views: int = Field(default=2, ge=1)
    seed: int = 0
    gain_db: float = Field(default=6.0, ge=0)
    mixup: float = Field(default=0.2, ge=0, le=1)
    mixup_alpha: float = Field(default=0.4, gt=0)
    noise: float = Field(default=0.5, ge=0, le=1)
    snr_db: tuple[float, float] = (0.0, 30.0)
    noise_folder: Path | None = None
    microphone: float = Field(default=0.5, ge=0, le=1)
    band_limit: float = Field(default=0.2, ge=0, le=1)
    clipping: float = Field(default=0.1, ge=0, le=1)
    max_clipped: float = Field(default=0.02, gt=0, lt=1)
    spectrogram: SpectrogramConfig = SpectrogramConfig()

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.snr_db[0] > self.snr_db[1]:
            raise ValueError("snr_db must give the least, then the most")
        return self

    def cached(self) -> dict[str, Any]:
        """What the cached views depend on, as JSON; the spectrogram's noise is none of it."""
        if self.views == 1:
            return {"views": 1}
        return self.model_dump(mode="json", exclude={"spectrogram"})
