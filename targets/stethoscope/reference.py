"""Reference: what LiteRT's reference kernels make of INT8 features; the C code must give the same bits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acula_edge.runtime.divert import divert_output
from targets.stethoscope.network import Grid, Network

Steps = NDArray[np.int8]


@dataclass(frozen=True)
class Answers:
    """INT8 steps: `embedding` (n, E) and `logits` (n, K)."""

    embedding: Steps
    logits: Steps


def reference_answers(model: Path, network: Network, features: Steps) -> Answers:
    """Run int8 features (n, n_mels, n_frames) through the .tflite that `network` was read from."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with divert_output():
        interpreter = Interpreter(
            model_path=str(model), experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
        )
        interpreter.allocate_tensors()
        outputs = interpreter.get_signature_runner().get_output_details()
    source = interpreter.get_input_details()[0]["index"]
    grids = {"embedding": network.embedding.grid, "logits": network.logits.grid}
    found: dict[str, list[Steps]] = {name: [] for name in grids}
    for clip in features:
        interpreter.set_tensor(source, _real(clip, network.features.grid)[None, None])
        interpreter.invoke()
        for name, grid in grids.items():
            found[name].append(_steps(interpreter.get_tensor(outputs[name]["index"])[0], grid))
    return Answers(np.stack(found["embedding"]), np.stack(found["logits"]))


def _real(steps: Steps, grid: Grid) -> NDArray[np.float32]:
    return (steps.astype(np.float32) - np.float32(grid.zero_point)) * np.float32(grid.scale)


def _steps(real: NDArray[np.float32], grid: Grid) -> Steps:
    steps = np.rint(real / np.float32(grid.scale) + np.float32(grid.zero_point))
    return np.asarray(steps, dtype=np.int8)
