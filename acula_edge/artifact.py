"""Artifact: a directory that is whole or absent, described by `manifest.json`.

An artifact is written to a temporary sibling and renamed into place; `manifest.json` is written last
and holds the SHA-256 of every file, so an interrupted write is never mistaken for a result. Files
whose bytes depend on the clock (latencies, and reports that quote them) are listed as *measured*:
their hashes stand in `measured.json`, so that the manifest of a run and of its repetition are equal.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError, field_validator

from acula_edge.disk import no_room, sync, sync_tree
from acula_edge.errors import ArtifactError, ExistsError

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
MEASURED = "measured.json"


class ArtifactKind(StrEnum):
    """What a stage writes."""

    DATASET = "dataset"
    TEACHER = "teacher"
    STUDENT = "student"
    QUANTIZED = "quantized"
    BUNDLE = "bundle"
    REPORT = "report"
    EVALUATION = "evaluation"
    ADAPT_GRAPHS = "adapt_graphs"
    ADAPTATION = "adaptation"
    SEARCH = "search"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Frozen):
    """One file of an artifact: name relative to its folder, SHA-256 in hex, size in bytes."""

    name: str
    sha256: str
    bytes: int

    @field_validator("name")
    @classmethod
    def _inside(cls, name: str) -> str:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError("a file name must stay inside the artifact")
        return name


class Parent(_Frozen):
    """An artifact that this one was made from: its kind and the SHA-256 of its manifest."""

    kind: ArtifactKind
    digest: str


class TensorSpec(_Frozen):
    """An input or output of a model file; scale and zero point where it is quantised."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


class DataSummary(_Frozen):
    """Which data an artifact saw: a digest of its recordings and the number of them in each split."""

    digest: str
    splits: dict[str, int]


class Description(_Frozen):
    """The part of a manifest that a stage knows before it writes a file."""

    kind: ArtifactKind
    key: str
    parents: tuple[Parent, ...] = ()
    contract: dict[str, Any] | None = None
    tensors: tuple[TensorSpec, ...] = ()
    config: dict[str, Any] = {}
    data: DataSummary | None = None
    seed: int = 0
    environment: dict[str, str] = {}


class Manifest(Description):
    """`manifest.json`: a description plus the files it stands for."""

    schema_version: int
    files: tuple[FileEntry, ...]
    measured: tuple[str, ...] = ()


class _Measured(RootModel[tuple[FileEntry, ...]]):
    """`measured.json`."""


class _Version(BaseModel):
    schema_version: int  # read first and alone: another version may have other keys


_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class Artifact:
    """A whole artifact on disk."""

    path: Path
    manifest: Manifest
    digest: str

    @classmethod
    def open(cls, path: Path, kind: ArtifactKind | None = None) -> Artifact:
        """Read the manifest in `path`; every listed file must be there with its size.

        Raises ArtifactError if there is no readable manifest, a file is missing or of another size,
        or the artifact is not of `kind`.
        """
        manifest_path = path / MANIFEST
        if not manifest_path.is_file():
            raise ArtifactError(f"{path} is not an artifact: it has no {MANIFEST}; build it again")
        raw = manifest_path.read_bytes()
        version = _parse(_Version, raw, manifest_path).schema_version
        if version != SCHEMA_VERSION:
            raise ArtifactError(
                f"{manifest_path}: schema version {version}, this program reads {SCHEMA_VERSION}; "
                "build it again"
            )
        manifest = _parse(Manifest, raw, manifest_path)
        if kind is not None and manifest.kind is not kind:
            raise ArtifactError(f"{path} is a {manifest.kind} artifact, not a {kind}")
        artifact = cls(path, manifest, hashlib.sha256(raw).hexdigest())
        artifact._check_sizes()
        return artifact

    def file(self, name: str) -> Path:
        """Path of a listed file. Raises ArtifactError for a name that the manifest does not hold."""
        if name not in {entry.name for entry in self.manifest.files} | set(self.manifest.measured):
            raise ArtifactError(f"{self.path}: {MANIFEST} lists no file {name}")
        return self.path / name

    def has(self, name: str) -> bool:
        """Whether the manifest lists `name`."""
        return any(entry.name == name for entry in self.manifest.files) or name in self.manifest.measured

    def read_json(self, name: str) -> Any:
        """A listed JSON file, parsed. Raises ArtifactError if it is not JSON."""
        try:
            return json.loads(self.file(name).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ArtifactError(f"{self.path / name} is not JSON ({error}); build it again") from None

    def verify(self) -> list[str]:
        """Hash every file again; the returned sentences name each one that changed (none: all whole)."""
        problems = []
        for entry in (*self.manifest.files, *self._measured_entries()):
            path = self.path / entry.name
            if not path.is_file():
                problems.append(f"{entry.name} is missing")
            elif sha256_file(path) != entry.sha256:
                problems.append(f"{entry.name} was changed after it was written")
        known = {entry.name for entry in self.manifest.files} | set(self.manifest.measured)
        extra = sorted(name for name in _files_under(self.path) if name not in known | {MANIFEST, MEASURED})
        return problems + [f"{name} is not listed in {MANIFEST}" for name in extra]

    def copy_files(self, folder: Path) -> None:
        """Copy every listed file into `folder`, the manifest left out."""
        for name in (*(entry.name for entry in self.manifest.files), *self.manifest.measured):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.path / name, folder / name)

    def copy(self, out: Path, force: bool = False) -> Artifact:
        """The same artifact at `out`; one that is there already is left alone.

        Raises ExistsError if `out` holds anything else and `force` is not given.
        """
        if out.exists() and not force:
            try:
                there = Artifact.open(out, self.manifest.kind)
            except ArtifactError:
                there = None
            if there and there.digest == self.digest and not there.verify():
                return there
        with ArtifactWriter(out, force=force) as writer:
            self.copy_files(writer.path)
            own = {name: getattr(self.manifest, name) for name in Description.model_fields}
            return writer.commit(Description(**own), self.manifest.measured)

    @property
    def parent(self) -> Parent:
        """This artifact as a parent of another."""
        return Parent(kind=self.manifest.kind, digest=self.digest)

    def _measured_entries(self) -> tuple[FileEntry, ...]:
        if not self.manifest.measured:
            return ()
        path = self.path / MEASURED
        if not path.is_file():
            raise ArtifactError(f"{path} is missing; build it again")
        entries = _parse(_Measured, path.read_bytes(), path).root
        if {entry.name for entry in entries} != set(self.manifest.measured):
            raise ArtifactError(f"{path}: it lists other files than {MANIFEST}; build it again")
        return entries

    def _check_sizes(self) -> None:
        for entry in (*self.manifest.files, *self._measured_entries()):
            path = self.path / entry.name
            if not path.is_file():
                raise ArtifactError(f"{path} is missing; build it again")
            if path.stat().st_size != entry.bytes:
                raise ArtifactError(
                    f"{path} has {path.stat().st_size} bytes, {MANIFEST} says {entry.bytes}; build it again"
                )


class ArtifactWriter:
    """Context manager that writes an artifact to `out` all at once.

    Files go under `self.path`, a temporary sibling of `out` on the same file system. `commit` writes
    the manifest and renames. Leaving the block without `commit` removes the temporary folder.

    Raises ExistsError if `out` exists and `force` is not given, or is not an artifact; ArtifactError
    if the folder can not be made, or if there is no room for what is written in the block.
    """

    def __init__(self, out: Path, force: bool = False) -> None:
        if out.exists() and not force:
            raise ExistsError(f"{out} exists already; choose another --out or give --force")
        if out.exists() and not _replaceable(out):
            raise ExistsError(f"{out} is no artifact, so --force does not replace it; choose another --out")
        self._out = out
        self.path = out.with_name(f".{out.name}.writing")
        self._replaced = out.with_name(f".{out.name}.replaced")

    def __enter__(self) -> ArtifactWriter:
        shutil.rmtree(self.path, ignore_errors=True)
        try:
            self.path.mkdir(parents=True)
        except OSError as error:
            sentence = f"{self._out.parent} can not be written to ({error.strerror}); choose another --out"
            raise ArtifactError(sentence) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        reason = no_room(error, self._out.parent)
        shutil.rmtree(self.path, ignore_errors=True)
        if reason is not None:
            sentence = f"{self._out.parent}: {reason}; nothing was kept; make room or choose another --out"
            raise ArtifactError(sentence) from error

    def write_json(self, name: str, value: Any) -> None:
        """Write `value` as stable, readable JSON."""
        write_json(self.path / name, value)

    def commit(self, description: Description, measured: Iterable[str] = ()) -> Artifact:
        """Hash what was written, write the manifest last, rename into place, and open the result."""
        measured_names = tuple(sorted(measured))
        entries = [_entry(self.path, name) for name in sorted(_files_under(self.path))]
        absent = sorted(set(measured_names) - {entry.name for entry in entries})
        if absent:
            raise ArtifactError(f"{self._out}: no measured file {absent[0]} was written")
        if measured_names:
            clocked = [entry.model_dump() for entry in entries if entry.name in measured_names]
            write_json(self.path / MEASURED, clocked)
        manifest = Manifest(
            **dict(description),
            schema_version=SCHEMA_VERSION,
            files=tuple(entry for entry in entries if entry.name not in measured_names),
            measured=measured_names,
        )
        write_json(self.path / MANIFEST, manifest.model_dump(mode="json"))
        self._move_into_place()
        return Artifact.open(self._out, description.kind)

    def _move_into_place(self) -> None:
        """Two renames: at every moment `out` is the old artifact, nothing, or the new one, each whole."""
        sync_tree(self.path)
        shutil.rmtree(self._replaced, ignore_errors=True)
        if self._out.exists():
            os.replace(self._out, self._replaced)
        os.replace(self.path, self._out)
        sync(self._out.parent)
        shutil.rmtree(self._replaced, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, so that equal values give equal bytes."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def stage_key(kind: ArtifactKind, config: Mapping[str, Any], parents: Iterable[str], code: str) -> str:
    """The key of a stage's result: digest of its config, its parents' digests and its code version."""
    return digest_of({"kind": kind, "config": dict(config), "parents": sorted(parents), "code": code})


def work_dir(out: Path) -> Path:
    """Where a stage that writes `out` keeps checkpoints: a sibling that survives a kill."""
    return out.with_name(f".{out.name}.work")


def _entry(root: Path, name: str) -> FileEntry:
    path = root / name
    return FileEntry(name=name, sha256=sha256_file(path), bytes=path.stat().st_size)


def _files_under(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]


def _parse(model: type[_Model], raw: bytes, path: Path) -> _Model:
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "file"
        raise ArtifactError(f"{path}: {field}: {first['msg']}; build it again") from None


def _replaceable(out: Path) -> bool:
    """An artifact or an empty folder: --force must not delete a folder of something else."""
    return out.is_dir() and ((out / MANIFEST).is_file() or not any(out.iterdir()))
