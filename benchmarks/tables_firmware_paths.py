"""README's section on the firmware beside other runtimes, from benchmarks/results/firmware_paths.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acula_edge.evidence.markdown import table_lines
from acula_edge.evidence.tables import Table, cells

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


def _decisions(found: dict[str, Any]) -> Iterator[str]:
    own, other = (found["features"][name] for name in ("firmware", "model_pcm.tflite"))
    yield (
        f"A trained `small`, {found['clips']} clips of training and validation recordings, each decided by "
        "the frozen rules ([how](benchmarks/firmware_paths.py), "
        "[all figures](benchmarks/results/firmware_paths.json)). **The goal, equal decisions on every clip, "
        "is missed**, and the causes are known. LiteRT runs the file with XNNPACK, whose kernels round "
        "otherwise than the reference kernels that the firmware equals bit by bit. Both front ends work in "
        f"single precision: {1e6 * own['share']:.0f} of a million features of the firmware are one step off "
        f"the exact ones, {1e6 * other['share']:.0f} of those inside the .tflite, none by more."
    )


def _paths(found: dict[str, Any]) -> Table:
    rows = [
        cells(
            path["path"],
            f"{path['different_decisions']} of {path['decisions']}",
            f"{100 * path['logits_off']:.1f} %",
            str(path["most_steps"]),
        )
        for path in found["paths"]
    ]
    header = ("against", "decisions that differ", "logits that differ", "by INT8 steps at most")
    return Table("The firmware, from samples to decision", header, tuple(rows))


def _tflm(found: dict[str, Any]) -> Iterator[str]:
    tflm = found["tflm"]
    if tflm:
        yield (
            f"TFLite Micro {tflm['version']} on the bytes of `model.tflite`: {tflm['different']} of "
            f"{tflm['values']} INT8 values differ from the firmware's network on the same clips, by "
            f"{tflm['most_steps']} step at most."
        )
        yield ""


def _npus(found: dict[str, Any]) -> Table:
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
    return Table("Ethos-U: compiler estimates", header, tuple(rows))
