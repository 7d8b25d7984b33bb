"""Progress: bars with the time left, on stderr, and only when a person is there to see them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
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
