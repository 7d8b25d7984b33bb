"""Shards: rows of arrays that are made piece by piece, kept through a kill, and mapped as one.

A shard is a folder with one `.npy` file a field, the lines of a log, and `index.json` with the CRC-32 of
each file; it is written aside and renamed. When all are there they are joined in a folder `whole` of the
same form and removed.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from acula_edge.artifact import write_json
from acula_edge.disk import no_room
from acula_edge.errors import ArtifactError
from acula_edge.progress import track

INDEX = "index.json"
WHOLE = "whole"
LOG = "augmentations.jsonl"
_LOCK = ".lock"
_CHUNK_BYTES = 1 << 22

Piece = TypeVar("Piece")


@dataclass(frozen=True)
class Shard:
    """Arrays with a row for each item, by field, and the log's lines."""

    arrays: Mapping[str, NDArray[Any]]
    log: Sequence[str]


def mapped(
    folder: Path, pieces: Sequence[Piece], make: Callable[[Piece], Shard], label: str
) -> dict[str, NDArray[Any]]:
    """The arrays of all shards, a piece of the work each, memory-mapped from `folder / "whole"`.

    What is there already is not made again; what is damaged is. Of two processes that want the same, the
    second waits and takes what the first has made. Raises ArtifactError if there is no room.
    """
    whole = folder / WHOLE
    with _roomy(folder), _alone(folder):
        if not _is_sound(whole):
            progress = enumerate(track(pieces, len(pieces), label))
            shards = [_kept(folder / f"{number:05d}", piece, make) for number, piece in progress]
            with _aside(whole) as aside:
                _join(shards, aside)
            for shard in shards:
                shutil.rmtree(shard)
    return {file.stem: np.load(file, mmap_mode="r") for file in sorted(whole.glob("*.npy"))}


def prune(folder: Path, newest: int) -> None:
    """Remove all but the `newest` of the folders in `folder` that `mapped` was asked for last.

    What another process makes meanwhile stays; what it has mapped, it keeps until it ends.
    """
    asked = sorted(folder.glob(f"*/{_LOCK}"), key=lambda lock: lock.stat().st_mtime_ns, reverse=True)
    for lock in asked[newest:]:
        with lock.open("w", encoding="utf-8") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(lock.parent)


def _kept(folder: Path, piece: Piece, make: Callable[[Piece], Shard]) -> Path:
    if not _is_sound(folder):
        shard = make(piece)
        with _aside(folder) as aside:
            for field, array in shard.arrays.items():
                np.save(aside / f"{field}.npy", array)
            (aside / LOG).write_text("".join(line + "\n" for line in shard.log), encoding="utf-8")
    return folder


def _join(parts: Sequence[Path], folder: Path) -> None:
    for field in sorted(file.name for file in parts[0].glob("*.npy")):
        arrays = [np.load(part / field, mmap_mode="r") for part in parts]
        shape = (sum(map(len, arrays)), *arrays[0].shape[1:])
        whole = np.lib.format.open_memmap(folder / field, "w+", arrays[0].dtype, shape)
        start = 0
        for array in arrays:
            whole[start : start + len(array)] = array
            start += len(array)
        whole.flush()
    (folder / LOG).write_bytes(b"".join((part / LOG).read_bytes() for part in parts))


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """A folder to write into that becomes `folder`, index and all, when the block ends well."""
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.writing")
    try:
        aside.mkdir()
        yield aside
        write_json(aside / INDEX, {file.name: _crc32(file) for file in sorted(aside.iterdir())})
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process makes the same meanwhile; a lock goes with the process that holds it."""
    path = folder / _LOCK
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_at(lock.fileno(), path):
                os.utime(path)  # `prune` goes by it
                yield
                return


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one at `path`: another process may have removed its folder."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _roomy(folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        reason = no_room(error, folder.parent)
        if reason is None:
            raise
        raise ArtifactError(f"{folder}: {reason}; make room and run the same command again") from error


def _is_sound(folder: Path) -> bool:
    """Whether every file of the index is there with its checksum."""
    try:
        index: dict[str, int] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return all(_crc32(folder / name) == crc for name, crc in index.items())
    except (OSError, ValueError):
        return False


def _crc32(file: Path) -> int:
    crc = 0
    with file.open("rb") as stream:
        while block := stream.read(_CHUNK_BYTES):
            crc = zlib.crc32(block, crc)
    return crc
