"""Microphones: what a chest piece or a phone does to a sound, as a short filter with a random character."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from acula_edge.data.audio import Floats

_TAP_SECONDS = 0.064  # long enough to tell 20 Hz from 40 Hz
_GRID = 2048
_TILT_PIVOT_HZ = 200.0
_CORNER_SPREAD = 1.25  # a corner frequency lies within this factor of the usual one
_TILT_DB = 2.0
_PEAK_DB = 6.0
_PEAK_HZ = (80.0, 800.0)
_PEAK_OCTAVES = 0.5


class Microphone(StrEnum):
    """What the sound is picked up with."""

    BELL = "bell"
    DIAPHRAGM = "diaphragm"
    PHONE = "phone"


# Pass bands in Hz: the modes of electronic stethoscopes as their makers state them, and a phone's
# microphone behind its usual high pass.
_BANDS_HZ = {
    Microphone.BELL: (20.0, 400.0),
    Microphone.DIAPHRAGM: (80.0, 700.0),
    Microphone.PHONE: (150.0, 7000.0),
}


class Response(BaseModel):
    """A microphone's magnitude: band pass of second order, tilt in dB per octave, and one resonance."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    microphone: Microphone
    low_hz: float
    high_hz: float
    tilt_db: float
    peak_hz: float
    peak_db: float


def draw_response(rng: np.random.Generator) -> Response:
    """One of the microphones, its corners, tilt and resonance a little different each time."""
    microphone = list(Microphone)[int(rng.integers(len(Microphone)))]
    low_hz, high_hz = (
        corner * _CORNER_SPREAD ** float(rng.uniform(-1, 1)) for corner in _BANDS_HZ[microphone]
    )
    return Response(
        microphone=microphone,
        low_hz=low_hz,
        high_hz=high_hz,
        tilt_db=float(rng.uniform(-_TILT_DB, _TILT_DB)),
        peak_hz=float(np.exp(rng.uniform(*np.log(_PEAK_HZ)))),
        peak_db=float(rng.uniform(0, _PEAK_DB)),
    )


def magnitude(response: Response, frequency_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gain (n,) at each frequency (n,): Butterworth's high and low pass, times tilt and resonance."""
    audible = np.maximum(frequency_hz, 1.0)
    high_pass = 1 / np.sqrt(1 + (response.low_hz / audible) ** 4)
    low_pass = 1 / np.sqrt(1 + (audible / response.high_hz) ** 4)
    tilt_db = response.tilt_db * np.log2(audible / _TILT_PIVOT_HZ)
    from_peak = np.log2(audible / response.peak_hz) / _PEAK_OCTAVES
    peak_db = response.peak_db * np.exp(-0.5 * np.square(from_peak))
    return np.asarray(high_pass * low_pass * 10 ** ((tilt_db + peak_db) / 20), dtype=np.float64)


def taps(response: Response, rate_hz: int) -> NDArray[np.float64]:
    """The linear-phase FIR filter (odd length, 64 ms) of that magnitude: frequency sampling, Hamming window.

    Oppenheim and Schafer, "Discrete-Time Signal Processing", 7.5.
    """
    half = round(rate_hz * _TAP_SECONDS / 2)
    grid_hz = np.linspace(0, rate_hz / 2, _GRID + 1)
    impulse = np.fft.irfft(magnitude(response, grid_hz))
    centred = np.concatenate([impulse[-half:], impulse[: half + 1]])
    return np.asarray(centred * np.hamming(2 * half + 1), dtype=np.float64)


def hear(sound: Floats, response: Response, rate_hz: int) -> Floats:
    """`sound` (n,) through the microphone, without delay and as loud as before: a maker sets the gain."""
    heard = np.convolve(sound, taps(response, rate_hz), mode="same")
    loudness = np.sqrt(np.mean(np.square(heard))) or 1.0
    level = np.sqrt(np.mean(np.square(sound, dtype=np.float64)))
    return np.asarray(heard * (level / loudness), dtype=np.float32)
