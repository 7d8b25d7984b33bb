"""README's lines about a GPU, from benchmarks/results/gpu.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acula_edge.evidence.markdown import table_lines
from acula_edge.evidence.tables import Table, cells


def gpu(folder: Path) -> str:
    """What a GPU gives; empty if it was not measured."""
    file = folder / "gpu.json"
    return "\n".join(_lines(json.loads(file.read_text(encoding="utf-8")))) + "\n" if file.is_file() else ""


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield from ("### On a GPU", "")
    agree = {
        name: row["agreement"]["difference"] for name, row in found["encoders"].items() if "agreement" in row
    }
    yield (
        f"Alignment of every layer on {found['batch']} crops of {found['crop_s']:g} s, and distillation on "
        f"{found['student_batch']} clips, on one {found['gpu']} with deterministic kernels "
        "([how](benchmarks/gpu.py), [all figures](benchmarks/results/gpu.json)). The gradients in float32 "
        f"are the CPU's within {max(agree.values()):.0e} of each tensor's largest ({', '.join(agree)})."
    )
    yield ""
    rows = [
        cells(name, *(_cell(row.get(kind), "clips_per_s") for kind in ("fp32", "bf16")), _gib(row))
        for name, row in [*found["encoders"].items(), *found["students"].items()]
    ]
    header = ("trained", "clips/s, float32", "clips/s, bf16", "peak GiB, float32")
    yield from table_lines(Table("Training on a GPU", header, tuple(rows)))
    yield from (f"- {sentence}" for sentence in found["limitations"])


def _cell(row: dict[str, float] | None, key: str) -> str:
    return f"{row[key]:.0f}" if row else ""


def _gib(row: dict[str, dict[str, float]]) -> str:
    peak = row["fp32"].get("peak_mib")
    return f"{peak / 1024:.1f}" if peak else ""
