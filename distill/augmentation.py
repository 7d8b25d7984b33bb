"""Augmentation: how one view differs from its clip, drawn from a seed, written to a log, and done again.

The order is that of the real chain: who is heard and when, what is heard beside it, through which
microphone, at what band, gain and limit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from acula_edge.data.audio import Floats, Int16s, to_float32, to_int16
from acula_edge.data.recording import Recording, Split
from distill import augment_waveform as waveform
from distill.augment_config import AugmentConfig
from distill.microphones import Response, draw_response, hear
from distill.noise_folder import NoiseFolder
from distill.noises import GENERATED, NoiseKind, generate

LABELLED_SHARE = 0.9  # a mixed view keeps its labels above this share of its own clip
_Drawn = TypeVar("_Drawn")
_LOWEST_BAND = 0.4  # of the band that the rate allows


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Mix(_Record):
    """The other recording, the clip at `place` (0 to 1) of its clips, and the own clip's share."""

    recording: str
    place: float
    share: float


class Noise(_Record):
    """Noise at `snr_db`; `seed` generates it, or says where it is cut from `file`."""

    kind: NoiseKind
    snr_db: float
    seed: int
    file: str = ""


class Augmentation(_Record):
    """All that makes view `view` of a clip from the clip: a line of `augmentations.jsonl`."""

    recording: str
    clip: int
    view: int
    rate_hz: int
    shift_samples: int
    gain_db: float
    mix: Mix | None = None
    noise: Noise | None = None
    microphone: Response | None = None
    band_hz: int | None = None
    clipped: float | None = None

    @property
    def labelled(self) -> bool:
        """Whether the view still shows what its clip is labelled with."""
        return self.mix is None or self.mix.share > LABELLED_SHARE


@dataclass(frozen=True)
class Augmenter:
    """Draws augmentations for clips (n,) at one rate, and applies them.

    `clips_of` gives a recording's clips (k, n) at that rate. One of `others` may be mixed in, if it is of
    the same split: no training view holds the sound of a validation patient.
    """

    config: AugmentConfig
    rate_hz: int
    others: Sequence[Recording]
    noises: NoiseFolder | None
    clips_of: Callable[[Recording], Int16s]

    @cached_property
    def _by_id(self) -> dict[str, Recording]:
        return {other.id: other for other in self.others}

    @cached_property
    def _by_split(self) -> dict[Split, list[Recording]]:
        return {split: [other for other in self.others if other.split is split] for split in Split}

    def draw(self, recording: Recording, clip: int, view: int, n: int) -> Augmentation:
        """What view `view` of a recording's clip of n samples is: the same for the same config."""
        rng = np.random.default_rng([self.config.seed, view, clip, *_words(recording.id)])
        config = self.config
        return Augmentation(
            recording=recording.id,
            clip=clip,
            view=view,
            rate_hz=self.rate_hz,
            shift_samples=int(rng.integers(n)),
            gain_db=float(rng.uniform(-config.gain_db, config.gain_db)),
            mix=_maybe(rng, config.mixup, lambda: self._draw_mix(recording, rng)),
            noise=_maybe(rng, config.noise, lambda: self._draw_noise(rng)),
            microphone=_maybe(rng, config.microphone, lambda: draw_response(rng)),
            band_hz=_maybe(rng, config.band_limit, lambda: self._draw_band(rng)),
            clipped=_maybe(rng, config.clipping, lambda: float(rng.uniform(0, config.max_clipped))),
        )

    def apply(self, clip: Int16s, drawn: Augmentation) -> Int16s:
        """The view (n,) of `clip` (n,) that `drawn` describes, bit for bit the same each time."""
        sound = waveform.shift(to_float32(clip), drawn.shift_samples)
        if drawn.mix:
            sound = waveform.mixup(sound, self._other(drawn.mix), drawn.mix.share)
        if drawn.noise:
            noise = self._noise(drawn.noise, sound.size)
            sound = waveform.add_noise(sound, noise, drawn.noise.snr_db)
        if drawn.microphone:
            sound = hear(sound, drawn.microphone, self.rate_hz)
        if drawn.band_hz:
            sound = waveform.band_limit(sound, self.rate_hz, drawn.band_hz)
        sound = waveform.gain(sound, drawn.gain_db)
        if drawn.clipped:
            sound = waveform.clip(sound, drawn.clipped)
        return to_int16(sound)

    def _draw_mix(self, recording: Recording, rng: np.random.Generator) -> Mix:
        others = self._by_split[recording.split]
        picked = int(rng.integers(len(others)))
        own = others[picked].id == recording.id
        other = others[(picked + own) % len(others)]
        share = float(rng.beta(self.config.mixup_alpha, self.config.mixup_alpha))
        return Mix(recording=other.id, place=float(rng.uniform()), share=max(share, 1 - share))

    def _draw_noise(self, rng: np.random.Generator) -> Noise:
        snr_db, seed = float(rng.uniform(*self.config.snr_db)), int(rng.integers(2**32))
        if self.noises:
            name = self.noises.names[int(rng.integers(len(self.noises.names)))]
            return Noise(kind=NoiseKind.RECORDED, snr_db=snr_db, seed=seed, file=name)
        return Noise(kind=GENERATED[int(rng.integers(len(GENERATED)))], snr_db=snr_db, seed=seed)

    def _draw_band(self, rng: np.random.Generator) -> int:
        return round(self.rate_hz / 2 * float(rng.uniform(_LOWEST_BAND, 1.0)))

    def _other(self, mix: Mix) -> Floats:
        clips = self.clips_of(self._by_id[mix.recording])
        return to_float32(clips[int(mix.place * len(clips))])

    def _noise(self, noise: Noise, n: int) -> Floats:
        rng = np.random.default_rng(noise.seed)
        if self.noises and noise.kind is NoiseKind.RECORDED:
            return self.noises.cut(noise.file, n, self.rate_hz, rng)
        return generate(noise.kind, n, self.rate_hz, rng)


def _maybe(rng: np.random.Generator, chance: float, draw: Callable[[], _Drawn]) -> _Drawn | None:
    return draw() if rng.uniform() < chance else None


def _words(text: str) -> list[int]:
    """`text` as seeds that are the same everywhere."""
    digest = hashlib.sha256(text.encode()).digest()
    return [int.from_bytes(digest[start : start + 4], "little") for start in range(0, 16, 4)]
