"""Takes: every file of a folder decoded once, in one pass, or listed as broken with the reason."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from acula_edge.data.ambience import Ambience, ambience
from acula_edge.data.audio import Int16s, Sound, decode, read_bytes, resample, to_int16
from acula_edge.data.fingerprint import Fingerprint, fingerprint, near_duplicates
from acula_edge.data.folder import Folder, SourceRow
from acula_edge.data.splits import OFFICIAL
from acula_edge.errors import DataError
from acula_edge.progress import track

MAX_RATE_HZ = 16000  # no encoder listens above 8 kHz
_SHOWN = 20


@dataclass(frozen=True)
class Take:
    """A decoded recording: where its int16 samples stand in the spool, and what the audit looks at."""

    row: SourceRow
    rate_hz: int
    start: int
    n_samples: int
    source_rate_hz: int
    channels: int
    subtype: str
    sha256: str
    pcm_sha256: str
    clipped_fraction: float
    fingerprint: Fingerprint
    ambience: Ambience


@dataclass(frozen=True)
class Broken:
    """A row whose audio can not be used."""

    line: int
    path: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def take_all(folder: Folder, spool: Path, min_seconds: float) -> tuple[list[Take], list[Broken]]:
    """Decode each file once; samples, at most 16 kHz, are appended to `spool` as int16."""
    takes: list[Take] = []
    broken: list[Broken] = []
    start = 0
    with spool.open("wb") as stream:
        for row in track(folder.rows, len(folder.rows), "Reading recordings"):
            try:
                take = _take(folder.root, row, min_seconds, stream, start)
            except DataError as error:
                broken.append(Broken(row.line, row.path, str(error)))
                continue
            takes.append(take)
            start += take.n_samples
    return takes, broken


def sounds_of(takes: Sequence[Take]) -> list[frozenset[str]]:
    """Names of the sounds that each take holds; takes that share one are copies or filters of one sound.

    Two takes that both have an official split are left where it puts them; the audit reports them.
    """
    sounds = [{take.pcm_sha256} for take in takes]
    for i, j in near_duplicates([take.fingerprint for take in takes]):
        if not {takes[i].row.split, takes[j].row.split} <= OFFICIAL.keys():
            name = f"{takes[i].row.path} = {takes[j].row.path}"
            sounds[i].add(name)
            sounds[j].add(name)
    return [frozenset(found) for found in sounds]


def refuse_broken(broken: Sequence[Broken], total: int, max_fraction: float) -> None:
    """DataError with the list if `max_fraction` of the `total` recordings, or more, are broken."""
    if not broken or len(broken) / total < max_fraction:
        return
    lines = [f"  line {item.line}, {item.path}: {item.reason}" for item in broken[:_SHOWN]]
    if len(broken) > _SHOWN:
        lines.append(f"  and {len(broken) - _SHOWN} more")
    raise DataError(
        f"{len(broken)} of {total} recordings are broken, and only less than {max_fraction:.0%} may be; "
        "mend them or remove their rows:\n" + "\n".join(lines)
    )


def _take(root: Path, row: SourceRow, min_seconds: float, stream: BinaryIO, start: int) -> Take:
    sound = decode(read_bytes(root / row.path))
    _refuse_unusable(sound, min_seconds)
    rate_hz = min(sound.rate_hz, MAX_RATE_HZ)
    pcm = to_int16(resample(sound.samples, sound.rate_hz, rate_hz))
    if not pcm.any():
        raise DataError("the recording is digital silence")
    stream.write(pcm.tobytes())
    return Take(
        row=row,
        rate_hz=rate_hz,
        start=start,
        n_samples=pcm.size,
        source_rate_hz=sound.rate_hz,
        channels=sound.channels,
        subtype=sound.subtype,
        sha256=sound.sha256,
        pcm_sha256=hashlib.sha256(pcm.tobytes()).hexdigest(),
        clipped_fraction=_clipped_fraction(pcm),
        fingerprint=fingerprint(pcm, rate_hz),
        ambience=ambience(pcm, rate_hz),
    )


def _refuse_unusable(sound: Sound, min_seconds: float) -> None:
    seconds = sound.samples.size / sound.rate_hz
    if seconds < min_seconds:
        raise DataError(f"the recording is too short: {seconds:.2f} s, and {min_seconds:g} s are needed")


def _clipped_fraction(pcm: Int16s) -> float:
    return float(np.mean((pcm == 32767) | (pcm == -32768)))
