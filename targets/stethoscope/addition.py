"""Addition: what a target puts beside the C library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from targets.facts import Facts


@dataclass(frozen=True)
class Addition:
    """`title` stands behind the core's name; `write` writes files into a bundle that already has its model
    files, and returns their section of the README."""

    title: str
    write: Callable[[Facts, Path], str]
