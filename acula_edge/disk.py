"""The disk: make sure that bytes are on it, and say in words when there is no room."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from acula_edge.errors import AculaError, ArtifactError

_NO_ROOM: dict[int | None, str] = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file is larger than the system allows",
}
_LEAST_FREE_BYTES = 1 << 20
_RUST_ERROR = re.compile(r"\(os error (\d+)\)")


def no_room(error: BaseException | None, folder: Path) -> str | None:
    """Why a write into `folder` found no room, in words; None for another error or none.

    Libraries hide the system's number: safetensors gives it in a message, numpy's short writes and
    torch not at all. So any exception on a disk without space counts, but for those told already.
    """
    if not isinstance(error, Exception) or isinstance(error, AculaError):
        return None
    told = _RUST_ERROR.search(str(error))
    number = int(told[1]) if told else getattr(error, "errno", None)
    full = shutil.disk_usage(folder).free < _LEAST_FREE_BYTES
    return _NO_ROOM.get(errno.ENOSPC if full else number)


def sync_tree(root: Path) -> None:
    """Have the system write all that is under `root` to the disk, where a power cut can not undo it."""
    for path in (*root.rglob("*"), root):
        sync(path)


def sync(path: Path) -> None:
    """The same for one file, or for the entries of one folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path, busy: str) -> Iterator[None]:
    """One process at a time in `folder`, which is made if need be; the lock goes with the process.

    Raises ArtifactError with the sentence `busy` if another process is there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArtifactError(busy) from None
        yield
