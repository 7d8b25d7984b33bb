"""Divert what native code and third parties print, so that stdout carries results only."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def divert_output(log: Path = Path(os.devnull)) -> Iterator[None]:
    """Inside the block, all that is written to file descriptors 1 and 2 is appended to `log`.

    Python warnings go there too, as text. The descriptors come back when the block ends, however it
    ends. Descriptors belong to the process: other threads are diverted as well.
    """
    _flush()
    kept = [os.dup(1), os.dup(2)]
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.dup2(target, 1)
        os.dup2(target, 2)
        # Python's own stdout may be a buffer of the caller's (a test, a notebook) and not descriptor 1.
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = _write_warning
            yield
    finally:
        _flush()
        for descriptor, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(target)


def _write_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    del file  # descriptor 2 is the log here, whatever sys.stderr is
    os.write(2, warnings.formatwarning(message, category, filename, lineno, line).encode())


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
