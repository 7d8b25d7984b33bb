"""Simulated cough, and other sounds of people and rooms."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import numpy as np

from acula_edge.data.audio import Floats
from acula_edge.data.simulated_chain import N_SAMPLES, RATE_HZ, SECONDS, add_at, noise_band

# A cough: an explosive burst, an intermediate phase and, often, a voiced one; about 0.3 s in all
# (Morice et al., ERS guidelines on the assessment of cough, Eur. Respir. J. 29, 2007).
_BURST_SECONDS = (0.03, 0.06)
_MIDDLE_SECONDS = (0.12, 0.25)
_VOICED_SECONDS = (0.05, 0.15)


class OtherSound(StrEnum):
    """What a cough is told from."""

    SPEECH = "speech"
    SNORING = "snoring"
    CLAPPING = "clapping"
    THROAT = "throat clearing"


def cough_sound(rng: np.random.Generator) -> Floats:
    """One recording (n,): one to three bouts of coughs over a quiet room."""
    return _events(_cough, (1, 3), (1, 3), 0.4, rng)


def other_sound(kind: OtherSound, rng: np.random.Generator) -> Floats:
    """One recording (n,) of another sound over a quiet room."""
    event, bouts, repeats, pause_seconds = _OTHERS[kind]
    return _events(event, bouts, repeats, pause_seconds, rng)


def _events(
    event: Callable[[np.random.Generator], Floats],
    bouts: tuple[int, int],
    repeats: tuple[int, int],
    pause_seconds: float,
    rng: np.random.Generator,
) -> Floats:
    track = rng.uniform(0.01, 0.05) * noise_band(N_SAMPLES, 30.0, 600.0, rng, order=1)
    for _ in range(int(rng.integers(*bouts, endpoint=True))):
        at = rng.uniform(0, SECONDS - 1)
        for _ in range(int(rng.integers(*repeats, endpoint=True))):
            add_at(track, at, rng.uniform(0.5, 1.0) * event(rng))
            at += pause_seconds * rng.uniform(0.8, 1.4)
    return track


def _cough(rng: np.random.Generator) -> Floats:
    burst, middle, voiced = (
        round(rng.uniform(*seconds) * RATE_HZ)
        for seconds in (_BURST_SECONDS, _MIDDLE_SECONDS, _VOICED_SECONDS)
    )
    low_hz, high_hz = rng.uniform(200, 350), rng.uniform(800, 1600)
    envelope = np.concatenate([np.hanning(2 * burst)[:burst], np.exp(-np.linspace(0, 2.5, middle))])
    sound = envelope * noise_band(burst + middle, low_hz, high_hz, rng, order=1)
    if rng.random() < 0.6:
        return np.concatenate([sound, 0.6 * _voice(voiced, rng)]).astype(np.float32)
    return sound.astype(np.float32)


def _syllable(rng: np.random.Generator) -> Floats:
    voiced = _voice(round(rng.uniform(0.12, 0.3) * RATE_HZ), rng)
    hiss = noise_band(round(rng.uniform(0.03, 0.1) * RATE_HZ), 500.0, 1800.0, rng)
    return np.concatenate([rng.uniform(0.1, 0.5) * hiss, voiced]).astype(np.float32)


def _snore(rng: np.random.Generator) -> Floats:
    n = round(rng.uniform(0.8, 1.5) * RATE_HZ)
    flutter = 1 + np.sin(2 * np.pi * rng.uniform(20, 45) * np.arange(n) / RATE_HZ)
    return np.asarray(np.hanning(n) * flutter * noise_band(n, 60.0, 400.0, rng), dtype=np.float32)


def _clap(rng: np.random.Generator) -> Floats:
    n = round(rng.uniform(0.05, 0.15) * RATE_HZ)
    decay = np.exp(-np.linspace(0, 5, n))
    return np.asarray(decay * noise_band(n, rng.uniform(150, 500), 1600.0, rng), dtype=np.float32)


def _throat(rng: np.random.Generator) -> Floats:
    n = round(rng.uniform(0.25, 0.5) * RATE_HZ)
    rough = noise_band(n, 90.0, rng.uniform(300, 600), rng)
    return np.asarray(np.hanning(n) * (0.7 * rough + 0.5 * _voice(n, rng)), dtype=np.float32)


def _voice(n: int, rng: np.random.Generator) -> Floats:
    """A voiced sound (n,): harmonics of 90 to 240 Hz that fall by 6 dB an octave."""
    pitch_hz = rng.uniform(90, 240)
    time = np.arange(n) / RATE_HZ
    harmonics = range(1, int(RATE_HZ / 2 / pitch_hz))
    tone = sum((np.sin(2 * np.pi * k * pitch_hz * time) / k for k in harmonics), np.zeros(n))
    return np.asarray(np.hanning(n) * tone, dtype=np.float32)


_OTHERS: dict[
    OtherSound, tuple[Callable[[np.random.Generator], Floats], tuple[int, int], tuple[int, int], float]
] = {
    OtherSound.SPEECH: (_syllable, (1, 3), (3, 8), 0.3),
    OtherSound.SNORING: (_snore, (1, 1), (1, 2), 3.0),
    OtherSound.CLAPPING: (_clap, (1, 3), (2, 6), 0.35),
    OtherSound.THROAT: (_throat, (1, 3), (1, 2), 0.6),
}
