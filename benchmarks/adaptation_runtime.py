"""Time and memory of batches of `adapt.pte` in a process of its own; benchmarks/adaptation.py runs it.

    python benchmarks/adaptation_runtime.py GRAPHS

GRAPHS is a folder that `acula-edge adapt export` wrote. Prints JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from acula_edge.artifact import Artifact, ArtifactKind
from acula_edge.runtime.divert import divert_output
from distill.adapt.classroom import example
from distill.adapt.names import ADAPT
from distill.adapt.trainer import DeviceTrainer

BATCHES = 40


def batches(graphs: Artifact) -> dict[str, Any]:
    """How long batches take, and what the graph adds to a process that has the runtime loaded already."""
    with divert_output():
        from executorch.extension import training  # noqa: F401  its libraries are not the graph's memory

    lesson = example(graphs)
    before = _resident_bytes()
    trainer = DeviceTrainer(graphs.file(ADAPT), lesson)
    trainer.optimise_with(0.0, 0.9)
    seconds = []
    for _ in range(BATCHES):
        began = time.perf_counter()
        trainer.learn(lesson)
        trainer.step()
        seconds.append(time.perf_counter() - began)
    return {
        "batch_seconds": seconds,
        "median_seconds_per_clip": float(np.median(seconds)) / len(lesson),
        "resident_bytes_before": before,
        "added_bytes": _resident_bytes() - before,
    }


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    print(json.dumps(batches(Artifact.open(Path(sys.argv[1]), ArtifactKind.ADAPT_GRAPHS))))
