"""A section of README that is made of several results, of which some may not be there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Lines = Callable[[dict[str, Any]], Iterator[str]]


def section(title: str, folder: Path, parts: Mapping[str, Lines]) -> str:
    """The lines that each file under `folder` gives, in this order; empty if none of them is there."""
    lines = [
        line
        for name, lines_of in parts.items()
        if (folder / name).is_file()
        for line in lines_of(json.loads((folder / name).read_text(encoding="utf-8")))
    ]
    return "\n".join([f"### {title}", "", *lines]) + "\n" if lines else ""
