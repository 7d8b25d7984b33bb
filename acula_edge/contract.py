"""AudioContract: the only definition of the front end, from microphone samples to features.

The contract is created at the start of a build, learns its normalisation on the training split and
is copied forward unchanged. Every graph, the firmware header and the docs are generated from it.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from acula_edge.errors import ContractError

# Slaney's mel scale (Auditory Toolbox, 1998): linear up to 1 kHz, then 27 steps for each factor of 6.4.
_HZ_PER_MEL = 200 / 3
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27


class PcmDtype(StrEnum):
    """Type of one microphone sample; full scale is the type's range."""

    INT16 = "int16"


class Affine(BaseModel):
    """Causal normalisation of the log-mel features: (x - mean) / std for each mel band.

    Both are learned once on the training split, and are constants on the device.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: tuple[float, ...]
    std: tuple[float, ...]


class AudioContract(BaseModel):
    """From PCM to features: framing, mel filterbank, logarithm and normalisation.

    A clip of `clip_samples` samples is cut into frames of `window_samples` every `hop_samples`
    without padding, weighted by a periodic Hann window, transformed by an `n_fft`-point DFT; the
    power goes through `n_mels` Slaney mel filters from `f_min_hz` to `f_max_hz`, is raised to at
    least `log_floor`, and its natural logarithm is normalised. Full scale is 1.0.

    Raises ContractError, through `make`, for combinations that can not work.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sample_rate_hz: int = 4000
    clip_samples: int = 32000
    window_samples: int = 256
    hop_samples: int = 128
    n_fft: int = 256
    n_mels: int = 48
    f_min_hz: float = 25.0
    f_max_hz: float = 2000.0
    log_floor: float = 1e-8
    pcm: PcmDtype = PcmDtype.INT16
    normalisation: Affine | None = None

    @classmethod
    def make(cls, **fields: object) -> AudioContract:
        """A checked contract; ContractError names the field and the valid range."""
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            first = error.errors()[0]
            where = "".join(f"{part}: " for part in first["loc"])
            sentence = first["msg"].removeprefix("Value error, ")
            raise ContractError(f"audio contract: {where}{sentence}") from None

    @classmethod
    def of(cls, carried: Mapping[str, Any] | None) -> AudioContract:
        """The contract that a manifest carries; ContractError if it carries none."""
        if carried is None:
            raise ContractError("this artifact carries no audio contract; build it again")
        return cls.make(**carried)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        checks = {
            "sample_rate_hz must be from 1000 to 96000": 1000 <= self.sample_rate_hz <= 96000,
            "hop_samples must be from 1 to window_samples": 1 <= self.hop_samples <= self.window_samples,
            "n_fft must be a power of two, at least window_samples": self.n_fft >= self.window_samples
            and self.n_fft & (self.n_fft - 1) == 0,
            "clip_samples must hold at least one window": self.clip_samples >= self.window_samples > 1,
            "f_min_hz and f_max_hz must satisfy 0 <= f_min_hz < f_max_hz <= sample_rate_hz / 2": 0
            <= self.f_min_hz
            < self.f_max_hz
            <= self.sample_rate_hz / 2,
            "log_floor must be positive": self.log_floor > 0,
            "n_mels must be from 1 to n_fft / 2": 1 <= self.n_mels <= self.n_fft // 2,
        }
        for sentence, holds in checks.items():
            if not holds:
                raise ValueError(sentence)
        self._require_bins()
        if self.normalisation is not None:
            lengths = {len(self.normalisation.mean), len(self.normalisation.std)}
            if lengths != {self.n_mels}:
                raise ValueError(f"normalisation must give mean and std for each of {self.n_mels} mel bands")
            if min(self.normalisation.std) <= 0:
                raise ValueError("normalisation.std must be positive")
        return self

    def _require_bins(self) -> None:
        bins_hz = [k * self.sample_rate_hz / self.n_fft for k in range(self.n_fft // 2 + 1)]
        edges_hz = self.mel_edges_hz
        for band, (low_hz, high_hz) in enumerate(zip(edges_hz, edges_hz[2:], strict=False)):
            if not bisect_right(bins_hz, low_hz) < bisect_left(bins_hz, high_hz):
                raise ValueError(
                    f"n_mels {self.n_mels} leaves mel band {band} ({low_hz:.1f} to {high_hz:.1f} Hz) without "
                    f"a bin of the {self.n_fft}-point DFT; lower n_mels, or raise n_fft or f_min_hz"
                )

    @property
    def mel_edges_hz(self) -> tuple[float, ...]:
        """n_mels + 2 edges: band m rises from edge m, peaks at edge m + 1 and ends at edge m + 2."""
        low_mel, high_mel = _mel(self.f_min_hz), _mel(self.f_max_hz)
        step_mel = (high_mel - low_mel) / (self.n_mels + 1)
        return tuple(_hz(low_mel + step_mel * index) for index in range(self.n_mels + 2))

    @property
    def n_frames(self) -> int:
        """Frames in one clip."""
        return 1 + (self.clip_samples - self.window_samples) // self.hop_samples

    @property
    def clip_seconds(self) -> float:
        """Length of one clip in seconds."""
        return self.clip_samples / self.sample_rate_hz

    def with_normalisation(self, normalisation: Affine) -> AudioContract:
        """The same front end with the affine learned on the training split."""
        return self.make(**{**self.model_dump(), "normalisation": normalisation.model_dump()})

    def require_equal(self, other: AudioContract, where: str) -> None:
        """ContractError if `other` differs; the message names each field and both values."""
        mine, theirs = self.model_dump(), other.model_dump()
        changed = [name for name in mine if mine[name] != theirs[name]]
        if changed:
            parts = ", ".join(
                name if name == "normalisation" else f"{name} {mine[name]} / {theirs[name]}"
                for name in changed
            )
            raise ContractError(f"{where} was made with another audio contract: {parts}")


def _mel(frequency_hz: float) -> float:
    if frequency_hz < _KNEE_HZ:
        return frequency_hz / _HZ_PER_MEL
    return _KNEE_MEL + math.log(frequency_hz / _KNEE_HZ) / _LOG_STEP


def _hz(mel: float) -> float:
    if mel < _KNEE_MEL:
        return mel * _HZ_PER_MEL
    return _KNEE_HZ * math.exp(_LOG_STEP * (mel - _KNEE_MEL))
