"""Progress: bars with the time left, on stderr, and only when a person is there to see them."""

from __future__ import annotations

import io
import logging
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr
from typing import TypeVar

T = TypeVar("T")

quiet = False  # set once by the command line for --quiet


def track(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    """Yield `items` while a bar with percentage and time left is drawn on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, quiet=quiet or not sys.stderr.isatty())
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield from progress.track(items, total=total, description=label)


def say(sentence: str) -> None:
    """One line of progress or advice on stderr."""
    if not quiet:
        print(sentence, file=sys.stderr, flush=True)


@contextmanager
def silenced() -> Iterator[None]:
    """No bars, warnings or log lines of other packages within; what matters to us, they raise."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stderr(io.StringIO()), warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)
