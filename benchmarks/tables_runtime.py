"""README's section about tflite-runtime, from benchmarks/results/tflite_runtime.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acula_edge.evidence.markdown import table_lines
from acula_edge.evidence.tables import Cell, Table

_KINDS = ("optimised", "reference", "default")


def older_runtime(folder: Path) -> str:
    """The section; empty if nothing was measured."""
    path = folder / "tflite_runtime.json"
    if not path.is_file():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    lines = ["### The older runtime", "", *_text(found), "", *table_lines(_table(found)), *_misses(found)]
    return "\n".join(lines) + "\n"


def _text(found: dict[str, Any]) -> Iterator[str]:
    files, refused = found["files"], [row for row in found["files"] if "error" in row["default"]]
    untrained = [f"`{name}`" for name in dict.fromkeys(row["family"] for row in files if not row["trained"])]
    names = ", ".join(f"`{row['family']}` {row['file']}" for row in refused)
    yield (
        f"{found['packages'][0].replace('==', ' ')}, in an environment of its own, runs "
        f"{len(files) - len(refused)} of {len(files)} files{f' (not {names})' if names else ''}. "
        f"On {found['clips']} real clips, its outputs against those of ai-edge-litert without "
        "a delegate, by the same kind of kernels "
        "([how](benchmarks/tflite_runtime.py), [all figures](benchmarks/results/tflite_runtime.json))."
    )
    if untrained:
        yield f"Students without a training: {', '.join(untrained)}."


def _table(found: dict[str, Any]) -> Table:
    rows = [
        (Cell(f"`{row['family']}`"), Cell(row["file"]), *(_cell(row, kind) for kind in _KINDS))
        for row in found["files"]
    ]
    header = ("student", "file", "optimised kernels", "reference kernels", "as it comes, against optimised")
    return Table("Largest difference of the worst clip", header, tuple(rows), labels=2)


def _cell(row: dict[str, Any], kind: str) -> Cell:
    told = row[kind]
    if "error" in told:
        return Cell("refused")
    value = told["largest"]
    if row["unit"] == "absolute":
        return Cell(f"{value:.1g}")
    unit = "16-bit steps" if "int16" in row["file"] else "steps"
    return Cell(f"{abs(round(value, 2)):g}", unit)


def _misses(found: dict[str, Any]) -> Iterator[str]:
    """What lies beyond one step, or 1e-4 of a float file, by like kernels."""
    bounds = found["bounds"]
    missed = [
        f"`{row['family']}` {row['file']}, {kind} kernels ({row[kind]['clips_beyond_bound']} clips)"
        for row in found["files"]
        for kind in ("optimised", "reference")
        if row[kind].get("clips_beyond_bound")
    ]
    if missed:
        yield f"Beyond {bounds['INT8 steps']:g} step or {bounds['absolute']:g}: {'; '.join(missed)}."
    else:
        yield f"None is beyond {bounds['INT8 steps']:g} step, or {bounds['absolute']:g} of a float output."
