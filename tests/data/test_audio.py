"""Decoding against what was encoded, and resampling against closed forms and scipy."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from acula_edge.data.audio import decode, read_audio, resample, to_float32, to_int16
from acula_edge.errors import DataError
from tests.data.sounds import noise

# Error bounds of each format against the encoded samples: half a step, and for lossy ones a correlation.
EXACT = {
    ("WAV", "PCM_U8"): 1 / 128,
    ("WAV", "PCM_16"): 1 / 32768,
    ("WAV", "PCM_24"): 1 / 2**23,
    ("WAV", "PCM_32"): 1 / 2**23,
    ("WAV", "FLOAT"): 1e-7,
    ("WAV", "DOUBLE"): 1e-7,
    ("FLAC", "PCM_16"): 1 / 32768,
    ("FLAC", "PCM_24"): 1 / 2**23,
}
HALF_A_STEP = 0.5 / 32768
LOSSY = [("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")]


def encoded(samples: np.ndarray, format_: str, subtype: str, rate_hz: int = 8000) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate_hz, format=format_, subtype=subtype)
    return stream.getvalue()


def tone(seconds: float = 1.0, rate_hz: int = 8000, pitch_hz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * pitch_hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype("f4")


@pytest.mark.parametrize(("kind", "bound"), EXACT.items(), ids=str)
def test_lossless_formats(kind: tuple[str, str], bound: float) -> None:
    sound = decode(encoded(tone(), *kind))
    assert (sound.rate_hz, sound.channels, sound.subtype) == (8000, 1, kind[1])
    assert sound.samples.dtype == np.float32
    assert np.abs(sound.samples - tone()).max() <= bound


@pytest.mark.parametrize("kind", LOSSY, ids=str)
def test_lossy_formats(kind: tuple[str, str]) -> None:
    sound = decode(encoded(tone(), *kind))
    assert np.corrcoef(sound.samples[: len(tone())], tone())[0, 1] > 0.99


def test_stereo_is_averaged() -> None:
    left, right = tone(pitch_hz=440), tone(pitch_hz=300)
    sound = decode(encoded(np.stack([left, right], axis=1), "WAV", "FLOAT"))
    assert sound.channels == 2
    np.testing.assert_allclose(sound.samples, (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("kind", [*EXACT, *LOSSY], ids=str)
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.97])
def test_truncated_files_are_refused(kind: tuple[str, str], kept: float) -> None:
    whole = encoded(noise(0, 4.0, 8000), *kind)
    decode(whole)
    with pytest.raises(DataError, match="truncated"):
        decode(whole[: int(kept * len(whole))])


def test_a_wav_that_was_streamed_has_no_length_and_is_read() -> None:
    whole = bytearray(encoded(tone(), "WAV", "PCM_16"))
    at = whole.index(b"data") + 4
    whole[4:8] = whole[at : at + 4] = b"\xff\xff\xff\xff"
    assert decode(bytes(whole)).samples.size == tone().size


def test_a_chunk_before_the_samples_is_passed_over() -> None:
    whole = encoded(tone(), "WAV", "PCM_16")
    at = whole.index(b"data")
    longer = whole[:at] + b"note" + (3).to_bytes(4, "little") + b"abc\0" + whole[at:]
    assert decode(longer).samples.size == tone().size
    with pytest.raises(DataError, match="truncated"):
        decode(longer[:-100])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"this is a text, not a sound" * 20, "not audio"),
        (encoded(np.zeros(0), "WAV", "PCM_16"), "no samples"),
        (encoded(np.array([0.1, np.nan, 0.1]), "WAV", "FLOAT"), "NaN or infinite"),
        (encoded(np.array([0.1, np.inf, 0.1]), "WAV", "FLOAT"), "NaN or infinite"),
    ],
    # A name made of the bytes would change with the clock: libsndfile stamps a float file with the time.
    ids=["empty", "text", "no samples", "NaN", "infinite"],
)
def test_what_is_no_sound_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        decode(data)


def test_read_audio_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with pytest.raises(DataError, match=r"a\.wav: there is no such file"):
        read_audio(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.wav: the file is empty"):
        read_audio(path)
    path.write_bytes(encoded(tone(), "WAV", "PCM_16", rate_hz=4000))
    samples, rate_hz = read_audio(path)
    assert (samples.size, rate_hz) == (8000, 4000)


@given(hnp.arrays(np.int16, st.integers(1, 200)))
def test_int16_survives_float(pcm: np.ndarray) -> None:
    assert np.array_equal(to_int16(to_float32(pcm)), pcm)


def test_int16_clips_and_rounds() -> None:
    samples = np.array([-2.0, -1.0, 1.0, 2.0, 0.4 / 32768, 0.6 / 32768])
    assert to_int16(samples).tolist() == [-32768, -32768, 32767, 32767, 0, 1]


@pytest.mark.parametrize("rates", [(2000, 4000), (4000, 16000), (8000, 4000), (16000, 4000), (44100, 16000)])
def test_resampling_keeps_a_tone(rates: tuple[int, int]) -> None:
    from_hz, to_hz = rates
    pitch_hz = 0.3 * min(rates)
    resampled = resample(tone(2.0, from_hz, pitch_hz), from_hz, to_hz)
    expected = tone(2.0, to_hz, pitch_hz)
    assert abs(resampled.size - expected.size) <= 1
    inside = slice(resampled.size // 4, 3 * resampled.size // 4)
    assert np.abs(resampled[inside] - expected[inside]).max() < HALF_A_STEP


@pytest.mark.parametrize("rates", [(8000, 4000), (16000, 4000)])
def test_resampling_removes_what_would_fold_back(rates: tuple[int, int]) -> None:
    from_hz, to_hz = rates
    resampled = resample(tone(2.0, from_hz, 0.6 * to_hz), from_hz, to_hz)
    assert np.abs(resampled[to_hz // 2 : -to_hz // 2]).max() < 1e-5


@pytest.mark.parametrize("rates", [(2000, 4000), (8000, 4000), (16000, 4000)])
def test_resampling_agrees_with_scipy_in_the_pass_band(rates: tuple[int, int]) -> None:
    from_hz, to_hz = rates
    sos = scipy.signal.butter(10, 0.15 * min(rates), fs=from_hz, output="sos")
    wide = scipy.signal.sosfilt(sos, noise(1, 4.0, from_hz)).astype(np.float32)
    ours = resample(wide, from_hz, to_hz)
    # scipy's default filter is short: a longer one, so that the pass bands are both flat.
    factor = max(to_hz // from_hz, from_hz // to_hz)
    taps = scipy.signal.firwin(400 * factor + 1, 1 / factor, window=("kaiser", 12.0))
    theirs = scipy.signal.resample_poly(wide, max(1, to_hz // from_hz), max(1, from_hz // to_hz), window=taps)
    inside = slice(to_hz, -to_hz)
    assert np.abs(ours[inside] - theirs[inside]).max() < 1e-4 * np.abs(theirs).max()


def test_the_same_rate_changes_nothing() -> None:
    assert np.array_equal(resample(tone(), 8000, 8000), tone())
