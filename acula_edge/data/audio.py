"""Audio: from an audio file to mono samples, and from one sampling rate to another."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from acula_edge.errors import DataError

Floats = NDArray[np.float32]
Int16s = NDArray[np.int16]

FULL_SCALE = 32768.0
SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3"})
_STREAMED_BYTES = 0x7FFFF000  # a writer that can not seek back leaves a size at least this large
_OGG_LAST_PAGE = 0x04  # header type flag of RFC 3533, section 6


@dataclass(frozen=True)
class Sound:
    """A decoded file: mono samples (n,) with full scale 1.0, and what the file was."""

    samples: Floats
    rate_hz: int
    channels: int
    subtype: str
    sha256: str


def decode(data: bytes) -> Sound:
    """Decode a whole WAV, FLAC, OGG or MP3 file; channels are averaged.

    Raises DataError, its message being the reason alone, for bytes that are empty, truncated or not
    audio, and for samples that are none at all or not finite.
    """
    if not data:
        raise DataError("the file is empty")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as stream:
            expected, rate_hz, subtype = stream.frames, stream.samplerate, stream.subtype
            frames = stream.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        reason = error.error_string.strip().removeprefix("Error : ").rstrip(".")
        raise DataError(f"the file is truncated or not audio ({reason})") from None
    if len(frames) < expected or _is_cut(data):
        raise DataError("the file is truncated: it holds fewer samples than its header says")
    if not len(frames):
        raise DataError("the file holds no samples")
    if not np.isfinite(frames).all():
        raise DataError("the file holds samples that are NaN or infinite")
    samples = frames.mean(axis=1, dtype=np.float32)
    return Sound(samples, rate_hz, frames.shape[1], subtype, hashlib.sha256(data).hexdigest())


def read_bytes(path: Path) -> bytes:
    """The bytes of an audio file. Raises DataError, its message being the reason alone."""
    if not path.is_file():
        raise DataError("there is no such file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"the file can not be read ({error.strerror})") from None


def read_audio(path: Path) -> tuple[Floats, int]:
    """Mono samples (n,) with full scale 1.0, and the sampling rate in Hz.

    Raises DataError, naming the file, if it is missing, empty, truncated, without samples, not audio,
    or holds NaN or infinite samples.
    """
    try:
        sound = decode(read_bytes(path))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return sound.samples, sound.rate_hz


def resample(samples: Floats, from_hz: int, to_hz: int) -> Floats:
    """Band-limited resampling of (n,) samples (soxr, very high quality: pass band to 0.9 Nyquist)."""
    if from_hz == to_hz:
        return samples
    return np.asarray(soxr.resample(samples, from_hz, to_hz, quality="VHQ"), dtype=np.float32)


def to_int16(samples: NDArray[np.floating]) -> Int16s:
    """Samples with full scale 1.0 as int16, rounded to nearest and clipped."""
    scaled = np.rint(samples * FULL_SCALE)
    return np.asarray(np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1), dtype=np.int16)


def to_float32(pcm: Int16s) -> Floats:
    """int16 samples as float32 in [-1, 1); `to_int16` is the exact inverse."""
    return pcm.astype(np.float32) / np.float32(FULL_SCALE)


def _is_cut(data: bytes) -> bool:
    # libsndfile believes the length of a cut WAV or OGG file rather than its header.
    if data[:4] == b"RIFF":
        return _is_cut_riff(data)
    if data[:4] == b"OggS":
        last_page = data.rfind(b"OggS")
        return not data[last_page + 5 : last_page + 6] or not data[last_page + 5] & _OGG_LAST_PAGE
    return False


def _is_cut_riff(data: bytes) -> bool:
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"data":
            return size < _STREAMED_BYTES and at + 8 + size > len(data)
        at += 8 + size + size % 2
    return False
