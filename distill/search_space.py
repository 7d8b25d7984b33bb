"""The search's space: a table of sensible values for each choice of front end and architecture.

Every choice is an ordered row of a table, so that a sampler may treat it as a number, and every
combination is a front end and a student that can be built.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from acula_edge.contract import AudioContract
from acula_edge.students.config import Block, Kernel, StudentConfig

Reduces = Literal["early", "evenly"]
Widens = Literal["late", "evenly"]

TABLE: dict[str, tuple[Any, ...]] = {
    "sample_rate_hz": (2000, 4000, 8000),
    "n_mels": (32, 48, 64),
    "hop_ms": (16, 32, 64),
    "clip_seconds": (4, 8),
    "stem_channels": (8, 16, 24),
    "n_blocks": (4, 5, 6, 7, 8),
    "width": (48, 64, 96, 128, 160, 192),
    "widens": ("late", "evenly"),
    "mel_halvings": (1, 2, 3),
    "frame_halvings": (2, 3, 4),
    "reduces": ("early", "evenly"),
    "kernel": (3, 5),
    "expansion": (None, 2, 4),
    "top_channels": (None, 96, 192),
    "embedding_dim": (64, 128),
}

# The hand-made `tiny` family, as near as the table comes to it: every search begins with it.
START: dict[str, int] = {
    name: TABLE[name].index(value)
    for name, value in {
        "sample_rate_hz": 4000,
        "n_mels": 48,
        "hop_ms": 32,
        "clip_seconds": 8,
        "stem_channels": 8,
        "n_blocks": 6,
        "width": 96,
        "widens": "evenly",
        "mel_halvings": 3,
        "frame_halvings": 3,
        "reduces": "evenly",
        "kernel": 3,
        "expansion": None,
        "top_channels": None,
        "embedding_dim": 64,
    }.items()
}

_WINDOW_MS = 64
_CHANNEL_STEP = 8


@dataclass(frozen=True)
class Choice:
    """One point of the space.

    `width` is the last block's channels; those before grow to it from the stem's, `evenly` by one step or
    `late` by one factor. The blocks halve mels and frames so many times, `early` in the first ones or
    `evenly` over all.
    """

    sample_rate_hz: int
    n_mels: int
    hop_ms: int
    clip_seconds: int
    stem_channels: int
    n_blocks: int
    width: int
    widens: Widens
    mel_halvings: int
    frame_halvings: int
    reduces: Reduces
    kernel: Kernel
    expansion: int | None
    top_channels: int | None
    embedding_dim: int

    @classmethod
    def of(cls, rows: dict[str, int]) -> Choice:
        """The choice that `rows`, a row number for each table, stands for."""
        return cls(**{name: values[rows[name]] for name, values in TABLE.items()})

    def contract(self) -> AudioContract:
        """The front end, without normalisation: windows of 64 ms, mels up to half the rate."""
        window = self.sample_rate_hz * _WINDOW_MS // 1000
        return AudioContract.make(
            sample_rate_hz=self.sample_rate_hz,
            clip_samples=self.sample_rate_hz * self.clip_seconds,
            window_samples=window,
            hop_samples=self.sample_rate_hz * self.hop_ms // 1000,
            n_fft=1 << (window - 1).bit_length(),
            n_mels=self.n_mels,
            f_max_hz=self.sample_rate_hz / 2,
        )

    def student(self) -> StudentConfig:
        """The student's shape."""
        mels = self._halving(self.mel_halvings)
        frames = self._halving(self.frame_halvings)
        blocks = [
            Block(
                channels=self._channels(number),
                mel_stride=2 if number in mels else 1,
                frame_stride=2 if number in frames else 1,
                kernel=self.kernel,
                expansion=self.expansion,
            )
            for number in range(self.n_blocks)
        ]
        return StudentConfig(
            stem_channels=self.stem_channels,
            blocks=tuple(blocks),
            top_channels=self.top_channels,
            embedding_dim=self.embedding_dim,
        )

    @property
    def front_end(self) -> str:
        """The front end in words."""
        return (
            f"{self.sample_rate_hz} Hz, {self.n_mels} mels, hop {self.hop_ms} ms, clip {self.clip_seconds} s"
        )

    @property
    def shape(self) -> str:
        """The student in words."""
        parts = {
            f"{self.n_blocks} blocks, {self.stem_channels} to {self.width} channels {self.widens}": True,
            f"halved {self.mel_halvings} x {self.frame_halvings} {self.reduces}": True,
            f"kernel {self.kernel}": True,
            f"expansion {self.expansion}": self.expansion is not None,
            f"top {self.top_channels}": self.top_channels is not None,
            f"embedding {self.embedding_dim}": True,
        }
        return ", ".join(part for part, holds in parts.items() if holds)

    def _halving(self, times: int) -> set[int]:
        """The blocks, counted from 0, that halve an axis `times` times in all."""
        if self.reduces == "early":
            return set(range(times))
        return {index * self.n_blocks // times for index in range(times)}

    def _channels(self, number: int) -> int:
        share, first = (number + 1) / self.n_blocks, self.stem_channels
        by_factor = first * (self.width / first) ** share
        channels = by_factor if self.widens == "late" else first + (self.width - first) * share
        return round(channels / _CHANNEL_STEP) * _CHANNEL_STEP
