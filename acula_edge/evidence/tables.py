"""Tables: the one form in which reports and the terminal show rows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """A table cell: its value, and what is said in small beside it."""

    text: str
    detail: str = ""


@dataclass(frozen=True)
class Table:
    """A table; the first `labels` columns are words, the others numbers."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    labels: int = 1


def cells(*texts: str) -> tuple[Cell, ...]:
    """A row of plain cells."""
    return tuple(Cell(text) for text in texts)
