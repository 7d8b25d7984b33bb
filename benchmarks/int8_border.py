"""Does a .pte with INT8 input and outputs pay? The same student, with and without a float border.

    python benchmarks/int8_border.py FOLDER

The border is taken off the graph before it is exported, so that no deprecated call is needed. Both files of
a family run in turns in one process. The students are untrained, and their normalisation has heard real
clips. Writes benchmarks/results/int8_border.json.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from some_students import sounds, student_of
from torch import Tensor
from torch.fx import GraphModule

from acula_edge.artifact import ArtifactKind, write_json
from acula_edge.build import BuildConfig, make
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.environment import environment
from acula_edge.progress import say
from acula_edge.runtime.divert import divert_output
from quantize import executorch
from quantize.layers import grid_of

RESULT = Path(__file__).parent / "results" / "int8_border.json"
FAMILIES = ("tiny", "small", "base")
CALIBRATION, CLIPS = 64, 24
ROUNDS, RUNS, WARM_UP = 5, 100, 20


def without_border(quantised: GraphModule) -> GraphModule:
    """`quantised` itself, which now takes the steps of its input's grid and gives those of its outputs'."""
    (source,) = (node for node in quantised.graph.nodes if node.op == "placeholder")
    (rounding,) = source.users
    rounding.replace_all_uses_with(source)
    quantised.graph.erase_node(rounding)
    (output,) = (node for node in quantised.graph.nodes if node.op == "output")
    output.args = (tuple(end.args[0] for end in output.args[0]),)
    quantised.graph.eliminate_dead_code()
    quantised.recompile()
    return quantised


def measure(family: str, dataset: Dataset, features: Tensor, clips: Tensor, folder: Path) -> dict[str, Any]:
    """Sizes, times and the largest difference of one family's two files."""
    student = student_of(family, dataset, features)
    quantised = executorch.quantise(student, features)
    (source,) = (node for node in quantised.graph.nodes if node.op == "placeholder")
    grid, ends = grid_of(next(iter(source.users))), executorch.border_steps(quantised)
    steps = torch.clamp(torch.round(clips / grid.scale) + grid.zero_point, grid.low, grid.high)
    inputs = {"float32": clips, "int8": steps.to(torch.int8)}
    lowered = {"float32": executorch.lower(quantised, forward=clips[:1])}
    lowered["int8"] = executorch.lower(without_border(quantised), forward=inputs["int8"][:1])
    methods = {name: _loaded(file.program, folder / f"{family}-{name}.pte") for name, file in lowered.items()}
    outputs = {name: _run(method, inputs[name]) for name, method in methods.items()}
    apart = [
        np.abs(np.rint(one / ends[name].scale) + ends[name].zero_point - other).max()
        for name, one, other in zip(("embedding", "logits"), outputs["float32"], outputs["int8"], strict=True)
    ]
    found = {
        name: {
            "bytes": len(file.program),
            "delegates": file.ops.delegates,
            "undelegated": file.ops.undelegated,
            "ms": [],
        }
        for name, file in lowered.items()
    }
    for _ in range(ROUNDS):
        for name, method in methods.items():
            found[name]["ms"] += _times(method, inputs[name][:1])
    return {"family": family, "largest_difference_steps": float(max(apart)), **found}


def _loaded(program: bytes, path: Path) -> Any:
    import executorch.kernels.quantized  # noqa: F401 (registers the INT8 kernels)
    from executorch.extension.pybindings import _C

    path.write_bytes(program)
    return _C._load_program(str(path)).load_method("forward")


def _run(method: Any, clips: Tensor) -> list[np.ndarray]:
    rows = [[end.numpy().copy() for end in method([clips[i : i + 1]])] for i in range(len(clips))]
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def _times(method: Any, clip: Tensor) -> list[float]:
    for _ in range(WARM_UP):
        method([clip])
    found = []
    for _ in range(RUNS):
        start = time.perf_counter()
        method([clip])
        found.append(round(1000 * (time.perf_counter() - start), 4))
    return found


def main(folder: Path) -> None:
    """Each family in turn."""
    from executorch.extension.pybindings import _C

    dataset = Dataset.open(make(BuildConfig(), folder, Path(".acula-edge"), ArtifactKind.DATASET))
    features = torch.from_numpy(sounds(dataset, Split.TRAIN, CALIBRATION).features)
    clips = torch.from_numpy(sounds(dataset, Split.VAL, CLIPS).features)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place, divert_output():
        _C._unsafe_reset_threadpool(1)
        rows += [measure(family, dataset, features, clips, Path(place)) for family in FAMILIES]
    for row in rows:
        medians = {name: float(np.median(row[name]["ms"])) for name in ("float32", "int8")}
        say(f"{row['family']}: {medians}, {row['largest_difference_steps']} steps apart")
    write_json(RESULT, {"families": rows, "threads": 1, "environment": environment()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
