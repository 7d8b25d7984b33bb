"""Simulated heart sounds: S1, S2 with a split that breathes, and systolic murmurs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from acula_edge.data.audio import Floats
from acula_edge.data.simulated_chain import N_SAMPLES, RATE_HZ, SECONDS, add_at, noise_band

HEART_SITES = ("aortic", "pulmonic", "tricuspid", "mitral")


class Murmur(StrEnum):
    """Shape of a systolic murmur (Constant, Essentials of Bedside Cardiology)."""

    DIAMOND = "diamond"  # crescendo and decrescendo, as in aortic stenosis
    PLATEAU = "plateau"  # holosystolic, as in mitral regurgitation
    LATE = "late"  # late crescendo, as in mitral valve prolapse


# Bands in Hz: ejection murmurs are rough and medium, regurgitant ones blowing and high
# (Rangayyan and Lehner, CRC Crit. Rev. Biomed. Eng. 15, 1988).
_BAND_HZ = {Murmur.DIAMOND: (80.0, 300.0), Murmur.PLATEAU: (150.0, 500.0), Murmur.LATE: (120.0, 400.0)}
_LEVEL_DB = (-27.0, -10.0)  # of a murmur against the peak of S1: from barely heard to loud


@dataclass(frozen=True)
class Heart:
    """A patient's heart: what stays the same from one recording to the next."""

    beats_per_minute: float
    breaths_per_minute: float
    arrhythmia: float
    s1_hz: float
    s2_hz: float
    s2_level: float
    murmur: Murmur | None
    murmur_level: float


def draw_heart(murmur: Murmur | None, rng: np.random.Generator) -> Heart:
    """A heart at rest: 55 to 100 beats and 12 to 20 breaths a minute (Hall, Guyton's Physiology).

    S1 lies about 25 to 45 Hz and its overtones, S2 about 50 to 80 Hz (Rangayyan and Lehner, 1988).
    """
    return Heart(
        beats_per_minute=rng.uniform(55, 100),
        breaths_per_minute=rng.uniform(12, 20),
        arrhythmia=rng.uniform(0.01, 0.05),
        s1_hz=rng.uniform(25, 45),
        s2_hz=rng.uniform(50, 80),
        s2_level=rng.uniform(0.4, 0.9),
        murmur=murmur,
        murmur_level=10 ** (rng.uniform(*_LEVEL_DB) / 20),
    )


def heart_sound(heart: Heart, rng: np.random.Generator) -> Floats:
    """One recording (n,) of a heart, over the quiet breathing of its owner."""
    track = np.zeros(N_SAMPLES, dtype=np.float32)
    murmur_level = heart.murmur_level * 10 ** (rng.uniform(-4, 4) / 20)
    at = -rng.uniform(0, 1)
    while at < SECONDS:
        breath = np.sin(2 * np.pi * heart.breaths_per_minute / 60 * at)
        beat_seconds = 60 / heart.beats_per_minute
        beat_seconds *= 1 + heart.arrhythmia * breath + rng.normal(0, 0.01)
        systole_seconds = _systole_seconds(60 / beat_seconds)
        _add_beat(track, heart, at, systole_seconds, breath, rng)
        if heart.murmur:
            _add_murmur(track, heart.murmur, murmur_level, at, systole_seconds, rng)
        at += beat_seconds
    breathing = noise_band(N_SAMPLES, 60.0, 250.0, rng)
    phase = 2 * np.pi * heart.breaths_per_minute / 60 * np.arange(N_SAMPLES) / RATE_HZ
    swell = rng.uniform(0.005, 0.06) * (1 + np.sin(phase)) / 2
    return np.asarray(track + breathing * swell, dtype=np.float32)


def _systole_seconds(beats_per_minute: float) -> float:
    # Q to S2 is 546 - 2.1 ms a beat (Weissler et al., Circulation 37, 1968); S1 comes 60 ms after Q.
    return 0.546 - 0.0021 * beats_per_minute - 0.06


def _add_beat(
    track: Floats, heart: Heart, at: float, systole_seconds: float, breath: float, rng: np.random.Generator
) -> None:
    strength = rng.normal(1.0, 0.08)
    add_at(track, at, strength * _thump(heart.s1_hz, 0.12, rng))
    add_at(track, at + 0.02, 0.5 * strength * _thump(2.2 * heart.s1_hz, 0.09, rng))
    # A2 leads P2 by 20 ms, and by 50 ms in inspiration (Constant).
    split_seconds = 0.035 + 0.015 * breath
    add_at(track, at + systole_seconds, heart.s2_level * strength * _thump(heart.s2_hz, 0.08, rng))
    second = 0.6 * heart.s2_level * strength * _thump(1.1 * heart.s2_hz, 0.07, rng)
    add_at(track, at + systole_seconds + split_seconds, second)


def _thump(centre_hz: float, seconds: float, rng: np.random.Generator) -> Floats:
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    envelope = np.sin(np.pi * time / seconds) ** 2 * np.exp(-2 * time / seconds)
    tone = np.sin(2 * np.pi * centre_hz * time + rng.uniform(0, 0.6))
    return np.asarray(2.5 * envelope * tone, dtype=np.float32)


def _add_murmur(
    track: Floats, kind: Murmur, level: float, at: float, systole_seconds: float, rng: np.random.Generator
) -> None:
    n = round((systole_seconds - 0.06) * RATE_HZ)
    way = np.linspace(0, 1, n)
    envelope = {
        Murmur.DIAMOND: 1 - np.abs(2 * way - 0.9).clip(0, 1),
        Murmur.PLATEAU: np.minimum(1, 12 * np.minimum(way, 1 - way)),
        Murmur.LATE: np.where(way > 0.45, (way - 0.45) / 0.55, 0),
    }[kind]
    add_at(track, at + 0.07, (level * envelope * noise_band(n, *_BAND_HZ[kind], rng)).astype(np.float32))
