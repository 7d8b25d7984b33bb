"""Folder: a recordings folder's `metadata.csv`, read and checked row by row."""

from __future__ import annotations

import csv
import hashlib
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from acula_edge.artifact import sha256_file
from acula_edge.errors import DataError

METADATA = "metadata.csv"
DEFAULT_DATASET = "recordings"
REQUIRED = ("path", "label")
_OWN = ("path", "dataset", "recording_id", "patient_id", "label", "split")


@dataclass(frozen=True)
class SourceRow:
    """One row: `path` is relative to the folder; a value that is not given is an empty string.

    `fields` holds every other column that the row fills.
    """

    line: int
    path: str
    dataset: str
    recording_id: str
    patient: str
    label: str
    split: str
    fields: dict[str, str]

    @property
    def id(self) -> str:
        """Name of the recording, unique in the folder."""
        return f"{self.dataset}/{self.recording_id}"

    @property
    def values(self) -> dict[str, str]:
        """What tasks, reports and the audit look at: the fields and the label."""
        return {**self.fields, "label": self.label}


@dataclass(frozen=True)
class Folder:
    """A recordings folder: its path and its rows, in the order of the file."""

    root: Path
    rows: tuple[SourceRow, ...]


def read_folder(root: Path) -> Folder:
    """Read `root`/metadata.csv. Columns: path and label; dataset, recording_id, patient_id and split
    where known; any other column is kept as a field.

    Raises DataError, naming the line and the column, for a folder or file that is missing, a file
    without rows, a missing or repeated column, a row with too many or too few fields, an empty path, a
    path that leaves the folder, and a path or recording_id that stands twice.
    """
    if not root.exists():
        raise DataError(f"{root}: there is no such folder; give the folder that holds {METADATA}")
    if not root.is_dir():
        raise DataError(f"{root} is a file; give the folder that holds {METADATA}")
    metadata = root / METADATA
    if not metadata.is_file():
        raise DataError(f"{root} holds no {METADATA}; add one with the columns {' and '.join(REQUIRED)}")
    rows = tuple(_rows(metadata))
    if not rows:
        raise DataError(f"{metadata} holds no recordings; add one row for each")
    _refuse_repeated(metadata, rows)
    return Folder(root, rows)


def folder_digest(root: Path) -> str:
    """Digest of metadata.csv and of the bytes of each file that it lists. Raises as `read_folder`."""
    rows = read_folder(root).rows
    digest = hashlib.sha256(sha256_file(root / METADATA).encode())
    for row in rows:
        path = root / row.path
        digest.update((sha256_file(path) if path.is_file() else "missing").encode())
    return digest.hexdigest()


def _rows(metadata: Path) -> Iterator[SourceRow]:
    try:
        with metadata.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_header(metadata, header)
            for cells in reader:
                if cells:
                    yield _row(metadata, reader.line_num, header, cells)
    except UnicodeDecodeError:
        raise DataError(f"{metadata} is not UTF-8 text; save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{metadata}, line {reader.line_num}: not valid CSV ({error})") from None


def _check_header(metadata: Path, header: list[str]) -> None:
    if not header:
        raise DataError(f"{metadata} is empty; add a header with the columns {' and '.join(REQUIRED)}")
    for name in REQUIRED:
        if name not in header:
            raise DataError(f"{metadata} has no column {name}; its columns are {', '.join(header)}")
    repeated = next((name for name in header if header.count(name) > 1), None)
    if repeated is not None:
        raise DataError(f"{metadata}: the column {repeated!r} stands twice; keep one")


def _row(metadata: Path, line: int, header: list[str], cells: list[str]) -> SourceRow:
    where = f"{metadata}, line {line}"
    if len(cells) != len(header):
        raise DataError(
            f"{where}: {len(cells)} fields where the header has {len(header)}; quote a field that has a comma"
        )
    values = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    path = _inside(where, values["path"])
    return SourceRow(
        line=line,
        path=path,
        dataset=values.get("dataset") or DEFAULT_DATASET,
        recording_id=values.get("recording_id") or posixpath.splitext(path)[0],
        patient=values.get("patient_id", ""),
        label=values["label"],
        split=values.get("split", ""),
        fields=_filled(values),
    )


def _inside(where: str, path: str) -> str:
    if not path:
        raise DataError(f"{where}: the column path is empty; name the audio file")
    normal = posixpath.normpath(path)
    if posixpath.isabs(normal) or normal.split("/")[0] == "..":
        raise DataError(f"{where}: path {path!r} leaves the folder; give a path relative to {METADATA}")
    return normal


def _filled(values: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value and name not in _OWN}


def _refuse_repeated(metadata: Path, rows: tuple[SourceRow, ...]) -> None:
    seen: dict[tuple[str, str], int] = {}
    for row in rows:
        for column, value in (("path", row.path), ("recording_id", row.id)):
            first = seen.setdefault((column, value), row.line)
            if first != row.line:
                raise DataError(
                    f"{metadata}, line {row.line}: the {column} {value!r} stands in line {first} too; "
                    "keep one row for each recording"
                )
