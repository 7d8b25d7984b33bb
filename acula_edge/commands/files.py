"""Files: the recordings that a command line names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path


def audio_files(given: Sequence[Path]) -> Iterator[Path]:
    """The files, and the audio files under the folders, each in the order of its name.

    Raises DataError for a folder without one.
    """
    from acula_edge.data.audio import SUFFIXES
    from acula_edge.errors import DataError

    for path in given:
        if not path.is_dir():
            yield path
            continue
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if not found:
            raise DataError(f"{path} holds no audio file ({', '.join(sorted(SUFFIXES))})")
        yield from found
