"""README's section about the firmware, from benchmarks/results/firmware.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acula_edge.evidence.markdown import table_lines
from acula_edge.evidence.tables import Table, cells

# Cycles for an instruction: published MLPerf Tiny keyword spotting runs on Cortex-M4 boards, over our count
# of the same network's instructions. There is a band, as memories and wait states differ.
CYCLES_M4 = (1.17, 1.52)
CLOCK_HZ = 64e6


def firmware(folder: Path) -> str:
    """The section; empty if nothing was measured."""
    path = folder / "firmware.json"
    if not path.is_file():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    lines = ["### The firmware", "", *_text(found), "", *table_lines(_costs(found)), "", *_duty(found)]
    return "\n".join(lines) + "\n"


def _text(found: dict[str, Any]) -> Iterator[str]:
    builds = [build for student in found["students"].values() for build in student["builds"]]
    values = sum(build["values"] for build in builds)
    wrong = sum(build["mismatches"] for build in builds)
    off = max(student["features_off_by_one"] for student in found["students"].values())
    most = max(student["features_off_at_most"] for student in found["students"].values())
    arenas = ", ".join(
        f"`{name}` {_state(student)} of {student['tflm_arena_bytes']} bytes"
        for name, student in found["students"].items()
        if student["tflm_arena_bytes"]
    )
    yield (
        f"Untrained students, {found['clips']} real clips, from samples to result, on emulated boards: "
        f"{wrong} of {values} INT8 values differ from LiteRT's reference kernels. "
        f"Features are {most:g} step off the reference front end at most, in {100 * off:.3f} % of all "
        "([how](benchmarks/firmware.py), [all figures](benchmarks/results/firmware.json))."
    )
    if arenas:
        yield ""
        yield f"The whole state, front end included, of what TFLite Micro needs as arena alone: {arenas}."
        yield "TFLite Micro's model takes float features, which lie in its arena: this favours ours."


def _state(student: dict[str, Any]) -> int:
    return max(build["state_bytes"] for build in student["builds"])


def _costs(found: dict[str, Any]) -> Table:
    rows = [
        cells(
            f"`{name}`",
            build["core"],
            build["back_end"],
            f"{_network(build) / 1e6:.2f}",
            f"{_network(build) / student['macs']:.2f}",
            f"{build['front_end_instructions'] / 1e6:.2f}",
            str(build["hops"]),
            f"{build['code_bytes'] / 1024:.1f}",
            f"{student['constant_bytes'] / 1024:.1f}",
            f"{build['state_bytes'] / 1024:.1f}",
            str(build["stack_bytes"]),
        )
        for name, student in found["students"].items()
        for build in student["builds"]
    ]
    header = (
        *("student", "core", "code in", "network, M instructions a hop", "for each MAC"),
        *("front end, M instructions a hop", "hops a clip", "code KiB", "weights KiB", "state KiB"),
        "stack bytes",
    )
    return Table("Instructions and memory, counted on an emulator", header, tuple(rows), labels=3)


def _duty(found: dict[str, Any]) -> Iterator[str]:
    """Load of a Cortex-M4, as a range."""
    for name, student in found["students"].items():
        build = next(
            build
            for build in student["builds"]
            if build["core"] == "Cortex-M4" and build["back_end"] == "tuned"
        )
        once = _network(build) + build["front_end_instructions"]
        low, high = (
            100 * once * build["hops"] * cycles / CLOCK_HZ / found["clip_seconds"] for cycles in CYCLES_M4
        )
        yield (
            f"- `{name}` keeps a Cortex-M4 at 64 MHz busy for {low:.1f} to {high:.1f} % of the time: "
            f"*estimated from instruction counts*, at {CYCLES_M4[0]} to {CYCLES_M4[1]} cycles each."
        )


def _network(build: dict[str, Any]) -> int:
    return sum(build["layer_instructions"])
