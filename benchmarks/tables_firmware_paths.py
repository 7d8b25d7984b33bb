"""README's section on the firmware beside other runtimes, from benchmarks/results/firmware_paths.json."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acula_edge.evidence.markdown import table_lines
from acula_edge.evidence.tables import Table, cells

Json = dict[str, Any]

_NOTE = "- *Compiler estimate*: figures of Arm's compiler Vela. No NPU, and no model of one, ran the network."


def firmware_paths(folder: Path) -> str:
    """The section; empty if nothing was measured."""
    path = folder / "firmware_paths.json"
    if not path.is_file():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    lines = ["### The firmware against other runtimes", "", *_decisions(found), ""]
    lines += [*table_lines(_paths(found)), *_tflm(found), *table_lines(_npus(found)), _NOTE]
    return "\n".join(lines) + "\n"


def _decisions(found: Json) -> Iterator[str]:
    students = found["students"]
    own, other = (
        max(student["features"][name]["share"] for student in students.values())
        for name in ("firmware", "model_pcm.tflite")
    )
    most = max(path["steps_from_a_limit"] for student in students.values() for path in student["paths"])
    yield (
        f"Trained students, {found['clips']} clips of training and validation recordings, each decided by "
        "the frozen rules ([how](benchmarks/firmware_paths.py), "
        "[all figures](benchmarks/results/firmware_paths.json)). Features are rounded to INT8, and both "
        f"front ends work in single precision: of a million features {1e6 * own:.1f} of the firmware's and "
        f"{1e6 * other:.1f} of those inside the .tflite are one step off the exact ones. "
        f"{_verdict(found)} "
        "LiteRT's default, XNNPACK, rounds otherwise than the reference kernels that the firmware equals bit "
        "by bit, and a few of its decisions differ. Wherever a decision differs, its logit lies within "
        f"{most} INT8 steps of a limit of its rule, as if that limit had been moved by as much."
    )


def _verdict(found: Json) -> str:
    """Of the goal: equal decisions on every clip by like kernels."""
    students = found["students"]
    causes = [(name, cause) for name, student in students.items() for cause in student["causes"]]
    decisions = sum(student["paths"][0]["decisions"] for student in students.values())
    if not causes:
        return f"**All {decisions} decisions are those of the .tflite by like kernels**: the goal is met."
    far = max(
        abs(abs(feature["exact"] - math.floor(feature["exact"])) - 0.5)
        for _, cause in causes
        for feature in cause["features"]
    )
    names = sorted({f"`{name}`" for name, _ in causes})
    return (
        f"**The goal, equal decisions on every clip by like kernels, is missed by {len(causes)} of "
        f"{decisions}** ({', '.join(names)}): the exact value of the feature behind each lies within "
        f"{_millionths(far)} millionths of a step of where rounding turns."
    )


def _millionths(share: float) -> int:
    """Rounded up."""
    return math.ceil(1e6 * share)


def _paths(found: Json) -> Table:
    rows = [
        cells(
            f"`{name}`",
            path["path"],
            f"{path['different_decisions']} of {path['decisions']}",
            f"{100 * path['logits_off']:.2f} %",
            str(path["most_steps"]),
        )
        for name, student in found["students"].items()
        for path in student["paths"]
    ]
    header = ("student", "against", "decisions that differ", "logits that differ", "by INT8 steps at most")
    return Table("The firmware, from samples to decision", header, tuple(rows), labels=2)


def _tflm(found: Json) -> Iterator[str]:
    tflm, student = found["tflm"], found["compiled"]
    yield (
        f"TFLite Micro {tflm['version']} on the bytes of `model.tflite`, `{student}`: {tflm['different']} of "
        f"{tflm['values']} INT8 values differ from the firmware's network on the same clips, by "
        f"{tflm['most_steps']} step at most."
    )
    yield ""


def _npus(found: Json) -> Table:
    rows = [
        cells(
            f"`{name}`",
            f"{npu['clock_hz'] / 1e6:g}",
            f"{npu['cycles']:,}",
            f"{npu['inference_us'] / 1000:.2f}",
            f"{npu['sram_bytes'] / 1024:.0f}",
            f"{npu['flash_bytes'] / 1024:.0f}",
            ", ".join(npu["unplaced_operators"]) or "none",
        )
        for name, npu in found["npus"].items()
    ]
    header = ("target", "MHz", "cycles a clip", "ms a clip", "SRAM KiB", "flash KiB", "left to the core")
    return Table(f"`{found['compiled']}` on an Ethos-U: compiler estimates", header, tuple(rows))
