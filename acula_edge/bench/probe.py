"""Probe: time one model, or the front end, in a process of its own: `python -m acula_edge.bench.probe`.

A fresh process, because thread counts hold for a whole process and peak memory never goes down. It
reads a Request as its only argument, and its last line on stdout is a Measurement, both as JSON.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from acula_edge.bench.memory import peak_resident_bytes
from acula_edge.contract import AudioContract
from acula_edge.frontend import log_mel
from acula_edge.runtime.divert import divert_output
from acula_edge.runtime.runner import Form, Runtime, open_runner

# What each runner imports when it opens a file: it belongs to the idle process, not to the model.
_IMPORTS: dict[Runtime, tuple[str, ...]] = {
    Runtime.PTE: ("executorch.kernels.quantized", "torch", "executorch.extension.pybindings._C"),
    Runtime.TFLITE: ("ai_edge_litert.interpreter",),
    Runtime.ONNX: ("onnxruntime",),
}


class Request(BaseModel):
    """What to time: a model file, or the numpy front end where `file` is None, on a golden clip."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Path | None
    form: Form
    golden: Path
    contract: AudioContract
    threads: int
    runs: int
    warmup: int


class Measurement(BaseModel):
    """Milliseconds of every run, and the peak resident memory before and after the first one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    idle_bytes: int
    peak_bytes: int
    samples_ms: tuple[float, ...]


def measure(request: Request) -> Measurement:
    """Load, run once, read the memory, then time."""
    with np.load(request.golden) as golden:
        pcm = golden["pcm"][:1]
    batch = pcm if request.form is Form.PCM else log_mel(pcm, request.contract)[:, None]
    if request.file is not None:
        _import_runtime(Runtime(request.file.suffix[1:]))
    idle_bytes = peak_resident_bytes()
    once = _front_end(pcm, request) if request.file is None else _inference(request.file, batch, request)
    once()
    peak_bytes = peak_resident_bytes()
    for _ in range(request.warmup):
        once()
    samples_ms = tuple(_time_ms(once) for _ in range(request.runs))
    return Measurement(idle_bytes=idle_bytes, peak_bytes=peak_bytes, samples_ms=samples_ms)


def main() -> None:
    """Answer the request in the process's argument."""
    print(measure(Request.model_validate_json(sys.argv[1])).model_dump_json())


def _import_runtime(runtime: Runtime) -> None:
    with divert_output():
        for module in _IMPORTS[runtime]:
            importlib.import_module(module)


def _inference(file: Path, batch: NDArray[np.generic], request: Request) -> Callable[[], object]:
    runner = open_runner(file, request.threads)
    return lambda: runner.run(batch)


def _front_end(pcm: NDArray[np.int16], request: Request) -> Callable[[], object]:
    return lambda: log_mel(pcm, request.contract)


def _time_ms(once: Callable[[], object]) -> float:
    start_ns = time.perf_counter_ns()
    once()
    return (time.perf_counter_ns() - start_ns) / 1e6


if __name__ == "__main__":
    main()
