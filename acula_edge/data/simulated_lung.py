"""Simulated lung sounds: vesicular breathing, crackles and wheezes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from acula_edge.data.audio import Floats
from acula_edge.data.simulated_chain import N_SAMPLES, RATE_HZ, SECONDS, add_at, noise_band

LUNG_SITES = ("left anterior", "right anterior", "left posterior", "right posterior")
# Two-cycle durations in seconds: fine crackles 5 ms, coarse ones 15 ms (Bohadana, Izbicki and Kraman,
# N. Engl. J. Med. 370, 2014).
_FINE_SECONDS = (0.004, 0.008)
_COARSE_SECONDS = (0.011, 0.018)
# Wheezes are musical, 100 to 1000 Hz, and last more than 80 ms (the same).
_WHEEZE_HZ = (150.0, 700.0)
_WHEEZE_SECONDS = (0.15, 0.8)
_CRACKLE_LEVEL_DB = (16.0, 28.0)  # peak, against the RMS of inspiration
_WHEEZE_LEVEL_DB = (0.0, 14.0)


@dataclass(frozen=True)
class Lung:
    """A patient's breathing: what stays the same from one recording to the next."""

    breaths_per_minute: float
    inspired_share: float
    expiration_level: float
    cutoff_hz: float
    crackle_level: float
    wheeze_level: float
    fine: bool


def draw_lung(rng: np.random.Generator) -> Lung:
    """A lung at rest: 12 to 20 breaths a minute (Hall, Guyton's Physiology), inspired in a third of the time.

    Vesicular sound is low-pass noise that falls off above about 200 Hz, softer in expiration
    (Bohadana et al., 2014).
    """
    return Lung(
        breaths_per_minute=rng.uniform(12, 20),
        inspired_share=rng.uniform(0.33, 0.45),
        expiration_level=rng.uniform(0.2, 0.6),
        cutoff_hz=rng.uniform(150, 400),
        crackle_level=10 ** (rng.uniform(*_CRACKLE_LEVEL_DB) / 20),
        wheeze_level=10 ** (rng.uniform(*_WHEEZE_LEVEL_DB) / 20),
        fine=bool(rng.random() < 0.5),
    )


def lung_sound(lung: Lung, label: str, rng: np.random.Generator) -> Floats:
    """One recording (n,); `label` is normal, crackle, wheeze or both."""
    breath_seconds = 60 / lung.breaths_per_minute
    at = -rng.uniform(0, breath_seconds)
    flow = np.zeros(N_SAMPLES, dtype=np.float32)
    extra = np.zeros(N_SAMPLES, dtype=np.float32)
    while at < SECONDS:
        inspired = lung.inspired_share * breath_seconds
        expired = 0.8 * (breath_seconds - inspired)
        add_at(flow, at, _swell(inspired))
        add_at(flow, at + inspired, lung.expiration_level * _swell(expired))
        if label in ("crackle", "both"):
            _add_crackles(extra, lung, at, inspired, rng)
        if label in ("wheeze", "both"):
            _add_wheeze(extra, lung, at + inspired, expired, rng)
        at += breath_seconds * rng.normal(1.0, 0.05)
    breathing = noise_band(N_SAMPLES, 80.0, lung.cutoff_hz, rng)
    return np.asarray(breathing * flow + extra + 0.3 * _heart_beat(rng), dtype=np.float32)


def crackle(seconds: float) -> Floats:
    """A crackle (n,) with a two-cycle duration of `seconds` and peak 1: a sweep that slows and fades.

    sin(4 pi t^a) (1 + cos(2 pi (t^0.5 - 0.5))) / 2, a = log 0.25 / log t0 with the first zero crossing
    at t0 = 0.14 (Kiyokawa, Greenberg, Shirota and Pasterkamp, Chest 119, 2001).
    """
    way = np.linspace(0, 1, max(4, round(seconds * RATE_HZ)))
    sweep = np.sin(4 * np.pi * way ** (np.log(0.25) / np.log(0.14)))
    wave = sweep * (1 + np.cos(2 * np.pi * (np.sqrt(way) - 0.5))) / 2
    return np.asarray(wave / np.abs(wave).max(), dtype=np.float32)


def _add_crackles(track: Floats, lung: Lung, at: float, inspired: float, rng: np.random.Generator) -> None:
    # Fine crackles crowd late in inspiration, coarse ones come early in it (Bohadana et al., 2014).
    low, high = (0.5, 1.0) if lung.fine else (0.05, 0.6)
    for _ in range(int(rng.integers(3, 9))):
        seconds = rng.uniform(*(_FINE_SECONDS if lung.fine else _COARSE_SECONDS))
        level = lung.crackle_level * rng.uniform(0.5, 1.2) * rng.choice([-1, 1])
        add_at(track, at + rng.uniform(low, high) * inspired, level * crackle(seconds))


def _add_wheeze(track: Floats, lung: Lung, at: float, expired: float, rng: np.random.Generator) -> None:
    seconds = min(rng.uniform(*_WHEEZE_SECONDS), expired)
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    pitch_hz = rng.uniform(*_WHEEZE_HZ) * (1 + rng.uniform(-0.15, 0.15) * time / seconds)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    tone = np.sin(phase) + rng.uniform(0, 0.4) * np.sin(2 * phase)
    wheeze = lung.wheeze_level * np.sin(np.pi * time / seconds) ** 0.5 * tone
    add_at(track, at + rng.uniform(0, expired - seconds), wheeze.astype(np.float32))


def _swell(seconds: float) -> Floats:
    return np.sin(np.pi * np.linspace(0, 1, round(seconds * RATE_HZ))).astype(np.float32)


def _heart_beat(rng: np.random.Generator) -> Floats:
    """The heart behind the lung: low thumps, 55 to 100 a minute."""
    time = np.arange(N_SAMPLES) / RATE_HZ
    beat = np.maximum(0, np.sin(2 * np.pi * rng.uniform(55, 100) / 60 * time)) ** 12
    return np.asarray(rng.uniform(0, 1) * beat * noise_band(N_SAMPLES, 25.0, 70.0, rng), dtype=np.float32)
