"""Output: results on stdout, as JSON or as plain columns that other programs can read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

NOTICE = "Research software, not a medical device."


def print_json(value: Any) -> None:
    """One JSON document."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns, two spaces apart, under their header."""
    columns = zip_longest(header, *rows, fillvalue="")
    widths = [max(map(len, column)) for column in columns]
    for row in (header, *rows):
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=False)).rstrip())
