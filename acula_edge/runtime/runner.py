"""Runner: one interface to every runtime; the file's suffix says which one runs it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from acula_edge.errors import ArtifactError, ContractError, UsageError, missing_extra

Floats = NDArray[np.float32]


class Form(StrEnum):
    """What a graph takes: log-mel features, or microphone samples with the front end inside."""

    FEATURES = "features"
    PCM = "pcm"


class Runtime(StrEnum):
    """The runtimes, named as the suffix of their files."""

    PTE = "pte"
    TFLITE = "tflite"
    ONNX = "onnx"


@dataclass(frozen=True)
class Outputs:
    """Embeddings (n, E) and logits (n, K) of a batch, float32."""

    embedding: Floats
    logits: Floats


@dataclass(frozen=True)
class GraphInput:
    """The one input of a graph: its shape, batch of one included, and its type."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Runner(Protocol):
    """A model file that is loaded and ready."""

    def run(self, batch: NDArray[Any]) -> Outputs:
        """Run each item of a batch in turn.

        `batch` is float32 (n, 1, n_mels, n_frames) for a graph that takes features, int16
        (n, clip_samples) for one that takes PCM. Raises ContractError for any other batch.
        """
        ...


def open_runner(path: Path, threads: int = 1) -> Runner:
    """Load a model file.

    Raises UsageError for an unknown suffix or less than one thread, ToolError if the runtime's package
    is not installed, and ArtifactError if the file is missing or can not be loaded.
    """
    runtime = _runtime_of(path)
    if threads < 1:
        raise UsageError(f"threads must be at least 1, not {threads}")
    if not path.is_file():
        raise ArtifactError(f"there is no model file {path}")
    if not available(runtime):
        package, _, extra = _PACKAGES[runtime]
        raise missing_extra(package, extra)
    return _OPENERS[runtime](path, threads)


def available(runtime: Runtime) -> bool:
    """Whether the package that runs these files is installed; it is not imported."""
    _, modules, _ = _PACKAGES[runtime]
    return all(importlib.util.find_spec(module) is not None for module in modules)


def run_each(
    path: Path,
    expected: GraphInput,
    infer: Callable[[NDArray[Any]], tuple[Floats, Floats]],
    batch: NDArray[Any],
) -> Outputs:
    """Run a graph with a fixed batch of one over `batch`; `infer` gives one item's embedding and logits."""
    if batch.dtype != expected.dtype or batch.shape[1:] != expected.shape[1:]:
        raise ContractError(
            f"{path.name} takes {expected.dtype} items of shape {expected.shape[1:]}, "
            f"not {batch.dtype} {batch.shape[1:]}"
        )
    # Runtimes read raw memory: a view with other strides would be misread.
    pairs = [infer(np.ascontiguousarray(batch[i : i + 1])) for i in range(len(batch))]
    if not pairs:
        raise ContractError(f"{path.name} was given an empty batch")
    return Outputs(np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs]))


def damaged(path: Path, error: BaseException) -> ArtifactError:
    """The error for a file that its runtime refuses."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    reason = lines[0].rstrip(".")
    return ArtifactError(f"{path} can not be loaded ({reason}); it is damaged or of another version")


def _runtime_of(path: Path) -> Runtime:
    try:
        return Runtime(path.suffix.removeprefix("."))
    except ValueError:
        known = ", ".join(f".{runtime}" for runtime in Runtime)
        raise UsageError(f"{path.name}: no runtime for files of this kind; known are {known}") from None


def _open_pte(path: Path, threads: int) -> Runner:
    from acula_edge.runtime.pte import PteRunner

    return PteRunner(path, threads)


def _open_tflite(path: Path, threads: int) -> Runner:
    from acula_edge.runtime.tflite import TfliteRunner

    return TfliteRunner(path, threads)


def _open_onnx(path: Path, threads: int) -> Runner:
    from acula_edge.runtime.onnx import OnnxRunner

    return OnnxRunner(path, threads)


_OPENERS: dict[Runtime, Callable[[Path, int], Runner]] = {
    Runtime.PTE: _open_pte,
    Runtime.TFLITE: _open_tflite,
    Runtime.ONNX: _open_onnx,
}
# For each runtime: its package, the modules it needs, and the extra that brings them.
_PACKAGES: dict[Runtime, tuple[str, tuple[str, ...], str]] = {
    Runtime.PTE: ("executorch", ("executorch", "torch"), "build"),
    Runtime.TFLITE: ("ai-edge-litert", ("ai_edge_litert",), "build"),
    Runtime.ONNX: ("onnxruntime", ("onnxruntime",), "build"),
}
