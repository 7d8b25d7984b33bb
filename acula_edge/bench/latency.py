"""Latency: the front end and every model file, timed in fresh processes on this host."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from acula_edge.artifact import Artifact
from acula_edge.bench.config import BenchConfig
from acula_edge.bench.probe import Measurement, Request
from acula_edge.bench.results import Performance, Timing
from acula_edge.contract import AudioContract
from acula_edge.environment import environment
from acula_edge.errors import ToolError
from acula_edge.progress import track
from acula_edge.runtime.runner import Form, Runtime, available

FRONT_END = "front end"
NETWORK = "network"
WHOLE = "front end + network"

_ENGINES = {Runtime.PTE: "ExecuTorch", Runtime.TFLITE: "LiteRT", Runtime.ONNX: "ONNX Runtime"}


@dataclass(frozen=True)
class _Part:
    """What is timed: a model file, or where `file` is None the numpy front end."""

    part: str
    file: str | None
    form: Form
    precision: str
    runtime: Runtime | None


_PARTS = (
    _Part(FRONT_END, None, Form.PCM, "float64", None),
    _Part(NETWORK, "model.pte", Form.FEATURES, "INT8", Runtime.PTE),
    _Part(NETWORK, "float.pte", Form.FEATURES, "float32", Runtime.PTE),
    _Part(NETWORK, "model.tflite", Form.FEATURES, "INT8", Runtime.TFLITE),
    _Part(NETWORK, "float.tflite", Form.FEATURES, "float32", Runtime.TFLITE),
    _Part(NETWORK, "model.onnx", Form.FEATURES, "float32", Runtime.ONNX),
    _Part(WHOLE, "model_pcm.pte", Form.PCM, "INT8", Runtime.PTE),
    _Part(WHOLE, "model_pcm.tflite", Form.PCM, "INT8", Runtime.TFLITE),
)


def measure(bundle: Artifact, quantized: Artifact | None, config: BenchConfig) -> Performance:
    """Time every part with every number of threads; `quantized` adds the float graphs to compare with.

    A runtime that is not installed is named in `not_measured`. Raises ToolError if a process fails.
    """
    sources = [artifact for artifact in (bundle, quantized) if artifact is not None]
    present = [part for part in _PARTS if part.file is None or _path(part.file, sources)]
    usable = [part for part in present if part.runtime is None or available(part.runtime)]
    jobs = [(part, threads) for part in usable for threads in _thread_counts(part, config)]
    found = environment()
    return Performance(
        device=f"{found['processor']}, {found['cores']} cores, {found['machine']}",
        environment=found,
        clip_seconds=AudioContract.of(bundle.manifest.contract).clip_seconds,
        runs=config.latency_runs,
        warmup=config.warmup,
        timings=tuple(
            _timing(part, threads, bundle, sources, config)
            for part, threads in track(jobs, len(jobs), "Timing models")
        ),
        not_measured=tuple(
            f"{part.file}: {_ENGINES[part.runtime]} is not installed"
            for part in present
            if part.runtime is not None and part not in usable
        ),
    )


def _thread_counts(part: _Part, config: BenchConfig) -> tuple[int, ...]:
    return config.threads if part.runtime else (1,)  # numpy's FFT has one thread


def _path(name: str, sources: list[Artifact]) -> Path | None:
    return next((artifact.file(name) for artifact in sources if artifact.has(name)), None)


def _timing(
    part: _Part, threads: int, bundle: Artifact, sources: list[Artifact], config: BenchConfig
) -> Timing:
    path = _path(part.file, sources) if part.file else None
    request = Request(
        file=path,
        form=part.form,
        golden=bundle.file("golden.npz"),
        contract=AudioContract.of(bundle.manifest.contract),
        threads=threads,
        runs=config.latency_runs,
        warmup=config.warmup,
    )
    measured = _ask(request)
    return Timing(
        part=part.part,
        precision=part.precision,
        runtime=_ENGINES[part.runtime] if part.runtime else "NumPy",
        file=part.file or "",
        threads=threads,
        size_bytes=path.stat().st_size if path else 0,
        idle_bytes=measured.idle_bytes,
        peak_bytes=measured.peak_bytes,
        median_ms=float(np.median(measured.samples_ms)),
        p90_ms=float(np.percentile(measured.samples_ms, 90)),
        samples_ms=measured.samples_ms,
    )


def _ask(request: Request) -> Measurement:
    """One probe in a fresh process."""
    command = [sys.executable, "-m", "acula_edge.bench.probe", request.model_dump_json()]
    limits = {"OMP_NUM_THREADS": str(request.threads), "OPENBLAS_NUM_THREADS": str(request.threads)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | limits)
    name = request.file.name if request.file else FRONT_END
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise ToolError(f"{name} can not be timed: {reason}")
    try:
        return Measurement.model_validate_json(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValidationError):
        raise ToolError(f"{name} can not be timed: the process gave no measurement") from None
