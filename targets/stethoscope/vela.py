"""Vela: Arm's compiler turns an INT8 .tflite into one that an Ethos-U runs, and estimates what that takes.

Its figures are those of a model of the processor: nothing is executed or measured.
"""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from acula_edge.errors import ArtifactError, missing_extra
from targets.stethoscope.flatbuffer import read_operator_names
from targets.stethoscope.npu import Npu

PACKAGE, EXTRA = "ethos-u-vela", "npu"
_COMMAND = "ethos-u"  # the operator that stands for all that the NPU runs
_CONFIG = "Arm/vela.ini"
_KIB = 1024
# Columns of Vela's summary, and what we call them; what they are multiplied by.
_COLUMNS: dict[str, tuple[str, float]] = {
    "cycles": ("cycles_total", 1),
    "npu_cycles": ("cycles_npu", 1),
    "clock_hz": ("core_clock", 1),
    "inference_us": ("inference_time", 1e6),
    "sram_bytes": ("sram_memory_used", _KIB),
    "flash_bytes": ("off_chip_flash_memory_used", _KIB),
    "encoded_weight_bytes": ("total_npu_encoded_weights", 1),
    "macs": ("nn_macs", 1),
}


@dataclass(frozen=True)
class Compiled:
    """The compiled .tflite, its operators that stay on the core, and Vela's figures (all whole numbers)."""

    model: bytes
    unplaced: tuple[str, ...]
    figures: Mapping[str, int]
    npu: Npu

    def to_json(self) -> dict[str, Any]:
        """As a JSON object that says what it is."""
        return {
            "kind": "compiler estimate",
            "executed": False,
            "compiler": f"{PACKAGE} {metadata.version(PACKAGE)}",
            "accelerator": self.npu.accelerator,
            "system_config": self.npu.system,
            "memory_mode": self.npu.memory,
            **self.figures,
            "unplaced_operators": self.unplaced,
        }


def require_vela() -> None:
    """Raises ToolError, with the line that installs it, if Vela is missing."""
    if importlib.util.find_spec("ethosu") is None:
        raise missing_extra(PACKAGE, EXTRA)


def compile_for(npu: Npu, model: bytes) -> Compiled:
    """Compile an INT8 .tflite. Raises ToolError without Vela, ArtifactError if Vela refuses the model."""
    require_vela()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(model)
        command = [
            sys.executable,
            "-m",
            "ethosu.vela",
            "model.tflite",
            "--output-dir",
            ".",
            "--config",
            _CONFIG,
        ]
        command += ["--accelerator-config", npu.accelerator]
        command += ["--system-config", npu.system, "--memory-mode", npu.memory]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        made = folder / "model_vela.tflite"
        if done.returncode != 0 or not made.is_file():
            last = (done.stderr + done.stdout).strip().splitlines()[-1:]
            raise ArtifactError(f"Vela did not compile the model for {npu.title}: {' '.join(last)}")
        summary = next(folder.glob("model_summary_*.csv")).read_text(encoding="utf-8")
        unplaced = tuple(name for name in read_operator_names(made) if name != _COMMAND)
        return Compiled(made.read_bytes(), unplaced, _figures(summary), npu)


def _figures(summary: str) -> dict[str, int]:
    row = next(csv.DictReader(summary.splitlines()))
    return {name: round(float(row[column]) * factor) for name, (column, factor) in _COLUMNS.items()}
