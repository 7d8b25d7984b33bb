"""Noises of the places where chests are listened to, generated from a seed."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.audio import Floats

Wide = NDArray[np.float64]
Reals = NDArray[np.floating]


class NoiseKind(StrEnum):
    """What makes a noise; RECORDED: it is cut from a file."""

    HUM = "hum"
    ALARM = "alarm"
    WARD = "ward"
    SPEECH = "speech"
    HANDLING = "handling"
    RECORDED = "recorded"


GENERATED = tuple(kind for kind in NoiseKind if kind is not NoiseKind.RECORDED)


def generate(kind: NoiseKind, n: int, rate_hz: int, rng: np.random.Generator) -> Floats:
    """Noise (n,) of a generated kind with root mean square 1."""
    noise = _GENERATORS[kind](n, rate_hz, rng)
    return np.asarray(noise / (np.sqrt(np.mean(np.square(noise))) or 1.0), dtype=np.float32)


def _hum(n: int, rate_hz: int, rng: np.random.Generator) -> Wide:
    """The mains and its harmonics, the odd ones stronger, in a slowly drifting level."""
    time_s = np.arange(n) / rate_hz
    mains_hz = rng.choice([50.0, 60.0]) * rng.uniform(0.998, 1.002)
    harmonics = np.arange(1, max(2, int(min(1000, rate_hz / 2) / mains_hz)))
    levels = rng.uniform(0.3, 1.0, harmonics.size) / harmonics * np.where(harmonics % 2, 1.0, 0.4)
    phases = rng.uniform(0, 2 * np.pi, harmonics.size)
    tones = np.sin(2 * np.pi * mains_hz * np.outer(harmonics, time_s) + phases[:, None])
    return np.asarray((levels @ tones) * (1 + 0.2 * np.sin(2 * np.pi * rng.uniform(0.05, 0.5) * time_s)))


def _alarm(n: int, rate_hz: int, rng: np.random.Generator) -> Wide:
    """Bursts of three or five pulses of a tone with harmonics, as IEC 60601-1-8 describes alarms."""
    track = np.zeros(n)
    pitch_hz = rng.uniform(150, min(1000.0, rate_hz / 4))
    pulse_s, gap_s = rng.uniform(0.12, 0.25), rng.uniform(0.05, 0.15)
    pulse = _pulse(pitch_hz, pulse_s, rate_hz)
    count, at = int(rng.choice([3, 5])), rng.uniform(0, 1.0)
    while at * rate_hz < n:
        for step in range(count):
            _add_at(track, round((at + step * (pulse_s + gap_s)) * rate_hz), pulse)
        at += count * (pulse_s + gap_s) + rng.uniform(0.5, 2.5)
    return track


def _pulse(pitch_hz: float, seconds: float, rate_hz: int) -> Wide:
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    harmonics = np.array([k for k in (1, 2, 3, 4) if 2 * pitch_hz * k < rate_hz])
    fade = np.minimum(1.0, np.minimum(time_s, time_s[::-1]) / 0.02)
    return _harmonic(harmonics, pitch_hz, time_s) * fade


def _ward(n: int, rate_hz: int, rng: np.random.Generator) -> Wide:
    """Air conditioning and far-off bustle: noise that falls with frequency, its level wandering."""
    slope = rng.uniform(0.0, 0.7)  # of the amplitude over frequency: 0 is white, 0.5 pink
    noise = _coloured(n, rate_hz, lambda hz: 1 / np.maximum(hz, 60.0) ** slope, rng)
    wandering = 1 + 0.5 * np.clip(_slow(n, rate_hz, 0.3, rng), -1.5, 1.5)
    return np.asarray(noise * wandering, dtype=np.float64)


# Formants of five vowels in Hz (Peterson and Barney, JASA 1952, men).
_VOWELS_HZ = ((270, 2290), (530, 1840), (730, 1090), (570, 840), (300, 870))
_FORMANT_WIDTH_HZ = 90.0


def _speech(n: int, rate_hz: int, rng: np.random.Generator) -> Wide:
    """Syllables: a voice's harmonics, or breath, through the formants of a vowel; pauses between."""
    track, at, pitch_hz = np.zeros(n), rng.uniform(0, 0.3), rng.uniform(90, 250)
    while at * rate_hz < n:
        length = max(8, round(rng.uniform(0.1, 0.3) * rate_hz))
        source = _voice(length, rate_hz, rng, pitch_hz)
        shaped = _through_formants(source, rate_hz, _VOWELS_HZ[int(rng.integers(len(_VOWELS_HZ)))])
        _add_at(track, round(at * rate_hz), shaped * np.hanning(length))
        pause = rng.uniform(0.3, 1.0) if rng.uniform() < 0.15 else rng.uniform(0.0, 0.1)
        at += length / rate_hz + pause
    return track


def _voice(n: int, rate_hz: int, rng: np.random.Generator, pitch_hz: float) -> Wide:
    """What the throat gives: harmonics of a tone, or now and then breath."""
    if rng.uniform() < 0.2:
        return rng.normal(size=n)
    own_hz = pitch_hz * rng.uniform(0.85, 1.15)
    harmonics = np.arange(1, int(rate_hz / 2 / own_hz) + 1)
    return _harmonic(harmonics, own_hz, np.arange(n) / rate_hz)


def _harmonic(harmonics: NDArray[np.integer], pitch_hz: float, time_s: Wide) -> Wide:
    """Harmonics k with amplitude 1 / k over time (n,)."""
    tones = np.sin(2 * np.pi * pitch_hz * np.outer(harmonics, time_s))
    return np.asarray((1 / harmonics) @ tones, dtype=np.float64)


def _through_formants(source: Wide, rate_hz: int, formants_hz: tuple[int, int]) -> Wide:
    hz = np.fft.rfftfreq(source.size, 1 / rate_hz)
    from_formant = (hz[:, None] - np.array(formants_hz)) / _FORMANT_WIDTH_HZ
    gain = np.sum(1 / (1 + np.square(from_formant)), axis=1)
    shaped = np.fft.irfft(np.fft.rfft(source) * gain, source.size)
    return np.asarray(shaped / (np.sqrt(np.mean(np.square(shaped))) or 1.0))


def _handling(n: int, rate_hz: int, rng: np.random.Generator) -> Wide:
    """Rubbing and knocks on the chest piece: short bursts of low, rough noise."""
    track, at = np.zeros(n), rng.uniform(0, 0.5)
    while at * rate_hz < n:
        length = max(8, round(rng.choice([rng.uniform(0.01, 0.05), rng.uniform(0.2, 0.8)]) * rate_hz))
        burst = _rubbing(length, rate_hz, rng)
        attack = np.minimum(1.0, np.arange(length) / (0.1 * length))
        decay = np.exp(-3 * np.arange(length) / length)
        _add_at(track, round(at * rate_hz), burst * attack * decay * rng.uniform(0.3, 1.0))
        at += rng.exponential(0.6)
    return track


def _rubbing(n: int, rate_hz: int, rng: np.random.Generator) -> Wide:
    top_hz = rng.uniform(200, 800)
    return _coloured(n, rate_hz, lambda hz: 1 / (1 + np.square(hz / top_hz)), rng)


def _coloured(n: int, rate_hz: int, gain: Callable[[Wide], Reals], rng: np.random.Generator) -> Wide:
    """Gaussian noise (n,) with the magnitude `gain` over frequency, root mean square 1."""
    hz = np.fft.rfftfreq(n, 1 / rate_hz).astype(np.float64)
    spectrum = np.fft.rfft(rng.normal(size=n)) * gain(hz)
    noise = np.fft.irfft(spectrum, n)
    return np.asarray(noise / np.sqrt(np.mean(np.square(noise))))


def _slow(n: int, rate_hz: int, below_hz: float, rng: np.random.Generator) -> Wide:
    """A wandering level, root mean square 1, without anything faster than `below_hz`."""
    return _coloured(n, rate_hz, lambda hz: np.exp(-np.square(hz / below_hz)), rng)


def _add_at(track: Wide, start: int, sound: Wide) -> None:
    """Add `sound` in place, from `start` on; what lies beyond the end is lost."""
    end = min(track.size, start + sound.size)
    if start < end:
        track[start:end] += sound[: end - start]


_GENERATORS: dict[NoiseKind, Callable[[int, int, np.random.Generator], Wide]] = {
    NoiseKind.HUM: _hum,
    NoiseKind.ALARM: _alarm,
    NoiseKind.WARD: _ward,
    NoiseKind.SPEECH: _speech,
    NoiseKind.HANDLING: _handling,
}
