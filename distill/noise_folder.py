"""NoiseFolder: recordings of noise that pieces are cut from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from acula_edge.artifact import sha256_file
from acula_edge.data.audio import SUFFIXES, Floats, read_audio, resample
from acula_edge.errors import DataError


@dataclass(frozen=True)
class NoiseFolder:
    """Audio files that noise is cut from, by name relative to the folder."""

    root: Path
    names: tuple[str, ...]

    @classmethod
    def open(cls, root: Path) -> NoiseFolder:
        """The audio files under `root`. Raises DataError if there is none."""
        files = sorted(file for file in root.rglob("*") if file.suffix.lower() in SUFFIXES)
        if not files:
            raise DataError(f"augment.noise_folder: {root} holds no audio file; name another folder")
        return cls(root, tuple(file.relative_to(root).as_posix() for file in files))

    @property
    def digest(self) -> str:
        """SHA-256 over the names and bytes of all files."""
        lines = (f"{name} {sha256_file(self.root / name)}\n" for name in self.names)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def cut(self, name: str, n: int, rate_hz: int, rng: np.random.Generator) -> Floats:
        """n samples at `rate_hz` from anywhere in the file `name`; a short one repeats."""
        samples = _read(self.root / name, rate_hz)
        start = int(rng.integers(max(1, samples.size - n + 1)))
        return np.take(samples, np.arange(start, start + n), mode="wrap")


@cache
def _read(file: Path, rate_hz: int) -> Floats:
    samples, own_hz = read_audio(file)
    return resample(samples, own_hz, rate_hz)
