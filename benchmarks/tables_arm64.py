"""README's section about phones' processors, from benchmarks/results/arm64.json."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tables_int8 import float_of, spoken

from acula_edge.evidence.markdown import table_lines
from acula_edge.evidence.tables import Cell, Table, cells


def arm64(folder: Path) -> str:
    """The section; empty if nothing was counted."""
    path = folder / "arm64.json"
    if not path.is_file():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    lines = [
        "### A phone's processor, emulated",
        "",
        *_text(found),
        "",
        *table_lines(_table(found)),
        *_notes(found),
    ]
    return "\n".join(lines) + "\n"


def _text(found: dict[str, Any]) -> Iterator[str]:
    yield (
        "The instructions of one inference, one thread, by the runtimes' own ARM64 builds on cores that "
        f"{found['emulator'].split('(')[0].strip()} emulates ([how](benchmarks/arm64.py), "
        "[all figures](benchmarks/results/arm64.json)). Instructions are not time, and no phone was used; "
        "but these are a phone's kernels, while the times above are those of another kind of processor."
    )
    yield ""
    shares = [
        share
        for rows in found["families"].values()
        for title in rows
        if title.startswith("our ")
        for share in _shares(rows, title, found["cores"])
    ]
    heavier = sorted(
        {
            f"`{family}` {spoken(title)}"
            for family, rows in found["families"].items()
            for title in rows
            if title.startswith("our ")
            if max(_shares(rows, title, found["cores"])) >= 1
        }
    )
    yield (
        f"Our INT8 files take {min(shares):.2f} to {max(shares):.2f} of the instructions of float in the "
        f"same runtime; more than float: {', '.join(heavier) or 'none'}."
    )


def _table(found: dict[str, Any]) -> Table:
    cores = found["cores"]
    rows = [
        (
            *cells(f"`{family}`", spoken(title)),
            *(Cell(f"{row['instructions'][core] / 1e6:.2f}", _share(rows, title, core)) for core in cores),
        )
        for family, rows in found["families"].items()
        for title, row in sorted(rows.items(), key=lambda item: not item[0].startswith("our "))
    ]
    header = ("student", "file", *cores)
    return Table(
        "Millions of instructions (times those of float in the same runtime)", header, tuple(rows), 2
    )


def _share(rows: Mapping[str, Any], title: str, core: str) -> str:
    return "" if title.startswith("float ") else f"{_shares(rows, title, [core])[0]:.2f}"


def _shares(rows: Mapping[str, Any], title: str, cores: list[str]) -> list[float]:
    floating = rows[float_of(title)]["instructions"]
    return [rows[title]["instructions"][core] / floating[core] for core in cores]


def _notes(found: dict[str, Any]) -> Iterator[str]:
    rows = [item for rows in found["families"].values() for item in rows.items()]
    of_kind = {
        kind: [row["host"].values() for title, row in rows if title.startswith(prefixes)]
        for kind, prefixes in {"ours": "our ", "others": ("plain ", "static "), "float": "float "}.items()
    }
    equal = {
        kind: f"{sum(all(core['equal'] == 1.0 for core in hosts) for hosts in files)} of {len(files)}"
        for kind, files in of_kind.items()
    }
    largest = max(core["largest_difference"] for hosts in of_kind["float"] for core in hosts)
    yield (
        f"- On one clip, shifted in time {found['clips']} times, {equal['ours']} of our INT8 files, and "
        f"{equal['others']} of the others', say there to the bit what they say on this host; float files "
        f"differ by at most {largest:.1g}."
    )
    yield ""
