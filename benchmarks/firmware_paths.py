"""Do other ways from a recording to a decision agree with the firmware, and what do compilers say of it?

    python benchmarks/firmware_paths.py QUANTIZED DATASET [TFLM_PYTHON]

QUANTIZED and DATASET are artifacts of a build, in its --work folder. CLIPS clips of training and validation
recordings go through: the firmware (its front end's twin and LiteRT's reference kernels, which the tests and
`verify` hold the C code to, bit by bit); the same network behind the exact front end; the .tflite that takes
PCM, with reference kernels and with LiteRT's default, XNNPACK. Every clip is decided by the frozen rules.
TFLM_PYTHON is a Python with the package tflite-micro. The network is compiled for every Ethos-U: those are
estimates of the compiler, and nothing is executed. Writes benchmarks/results/firmware_paths.json.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.artifact import Artifact, write_json
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.spread import spread
from acula_edge.environment import environment
from acula_edge.evidence.decisions import Decisions
from acula_edge.frontend import log_mel
from acula_edge.progress import say
from targets.stethoscope.flatbuffer import read_graph
from targets.stethoscope.frontend import features, make_tables
from targets.stethoscope.integer_model import integer_model
from targets.stethoscope.lowering import read_network
from targets.stethoscope.network import Grid, Network
from targets.stethoscope.npu import NPUS
from targets.stethoscope.reference import reference_answers
from targets.stethoscope.vela import compile_for

RESULT = Path(__file__).parent / "results" / "firmware_paths.json"
TFLM = Path(__file__).with_name("firmware_tflm.py")
CLIPS, SEED = 600, 0

Steps = NDArray[np.int8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Paths:
    """A student, its clips int16 (n, samples), and the firmware's INT8 features (n, mels, frames)."""

    quantized: Artifact
    dataset: Dataset
    network: Network
    pcm: NDArray[np.int16]
    made: Steps

    @property
    def grid(self) -> Grid:
        """Of the logits."""
        return self.network.logits.grid

    def exact(self) -> Steps:
        """Features of the reference front end, in float64, rounded once."""
        grid = self.network.features.grid
        real = log_mel(self.pcm, self.dataset.contract).astype(np.float64) / grid.scale
        return np.clip(np.rint(real + grid.zero_point), -128, 127).astype(np.int8)


def main(quantized: Path, dataset: Path, tflm_python: str | None) -> None:
    """Run every path, compare, and write the result."""
    paths = _open(Artifact.open(quantized), Dataset.open(Artifact.open(dataset)))
    say(f"{len(paths.pcm)} clips")
    exact, model = paths.exact(), paths.quantized.file("model.tflite")
    firmware = reference_answers(model, paths.network, paths.made).logits
    heard = _from_pcm(paths, reference=True)
    others = {
        "exact features, reference kernels": reference_answers(model, paths.network, exact).logits,
        "model_pcm.tflite, reference kernels": heard.logits,
        "model_pcm.tflite, XNNPACK": _from_pcm(paths, reference=False).logits,
    }
    own = reference_answers(model, paths.network, heard.features).logits
    result = {
        "clips": len(paths.pcm),
        "student": paths.quantized.digest,
        "features": {"firmware": _off(paths.made, exact), "model_pcm.tflite": _off(heard.features, exact)},
        "paths": [{"path": name, **_against(paths, firmware, logits)} for name, logits in others.items()],
        "logits_off_with_the_features_of_model_pcm": float((own != heard.logits).mean()),
        "tflm": _tflm(paths, exact, tflm_python),
        "npus": {
            name: compile_for(npu, integer_model(model)).to_json() for name, npu in sorted(NPUS.items())
        },
        "environment": environment(),
    }
    write_json(RESULT, result)


def _open(quantized: Artifact, dataset: Dataset) -> Paths:
    network = read_network(quantized.file("model.tflite"))
    recordings = [*dataset.of(Split.TRAIN), *dataset.of(Split.VAL)]
    pcm = np.stack([dataset.clips(recording)[0] for recording in spread(recordings, CLIPS, SEED)])
    tables = make_tables(dataset.contract, network.features.grid)
    return Paths(quantized, dataset, network, pcm, features(pcm, dataset.contract, tables))


@dataclass(frozen=True)
class Heard:
    """What the .tflite that takes PCM makes of clips; no `features` where a delegate keeps them to itself."""

    features: Steps
    logits: Steps


def _from_pcm(paths: Paths, reference: bool) -> Heard:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kernels = OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
    interpreter = Interpreter(
        model_path=str(paths.quantized.file("model_pcm.tflite")),
        experimental_op_resolver_type=kernels,
        experimental_preserve_all_tensors=reference,
        num_threads=1,
    )
    interpreter.allocate_tensors()
    outputs = interpreter.get_signature_runner().get_output_details()
    source = interpreter.get_input_details()[0]["index"]
    steps = _features_in(paths.quantized.file("model_pcm.tflite"))
    found, logits = [], []
    for clip in paths.pcm:
        interpreter.set_tensor(source, clip[None])
        interpreter.invoke()
        logits.append(_steps(interpreter.get_tensor(outputs["logits"]["index"])[0], paths.grid))
        if reference:
            found.append(interpreter.get_tensor(steps)[0])
    return Heard(np.array(found), np.stack(logits))


def _features_in(model: Path) -> int:
    """The tensor with the INT8 features."""
    operators = read_graph(model).operators
    return next(operator.outputs[0] for operator in operators if operator.name == "QUANTIZE")


def _steps(real: Floats, grid: Grid) -> Steps:
    return np.rint(real / np.float32(grid.scale) + np.float32(grid.zero_point)).astype(np.int8)


def _off(found: Steps, exact: Steps) -> dict[str, float]:
    off = np.abs(found.astype(int) - exact)
    clips = (off > 0).reshape(len(off), -1).any(axis=1)
    return {
        "share": float((off > 0).mean()),
        "most_steps": int(off.max()),
        "clips_with_any": float(clips.mean()),
    }


def _against(paths: Paths, firmware: Steps, logits: Steps) -> dict[str, Any]:
    """How often steps of logits, and decisions on single clips, differ from the firmware's."""
    decided, other = _decide(paths, firmware), _decide(paths, logits)
    differ = sum(one[task] != two[task] for one, two in zip(decided, other, strict=True) for task in one)
    off = np.abs(firmware.astype(int) - logits)
    return {
        "decisions": sum(map(len, decided)),
        "different_decisions": int(differ),
        "logits_off": float((off > 0).mean()),
        "most_steps": int(off.max()),
    }


def _decide(paths: Paths, steps: Steps) -> list[dict[str, str]]:
    rules = Decisions.model_validate(paths.quantized.read_json("thresholds.json"))
    real = (steps.astype(np.float64) - paths.grid.zero_point) * paths.grid.scale
    return [dict(rules.decide(paths.dataset.tasks, row)) for row in real]


def _tflm(paths: Paths, exact: Steps, python: str | None) -> dict[str, Any] | None:
    """The interpreter of TFLite Micro on the float features; None where it was not run."""
    if python is None:
        return None
    model = paths.quantized.file("model.tflite")
    given = log_mel(paths.pcm, paths.dataset.contract)[:, None]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "features.npy", given)
        command = [python, str(TFLM), "--outputs", str(model), str(folder)]
        version = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        outputs = [np.load(folder / f"output_{index}.npy") for index in (0, 1)]
    own = reference_answers(model, paths.network, exact)
    grids = (paths.network.embedding.grid, paths.grid)
    found = [_steps(output, grid) for output, grid in zip(_by_width(outputs, own.logits), grids, strict=True)]
    off = np.abs(
        np.concatenate(found, axis=1).astype(int) - np.concatenate([own.embedding, own.logits], axis=1)
    )
    return {
        "version": version,
        "values": off.size,
        "different": int((off > 0).sum()),
        "most_steps": int(off.max()),
    }


def _by_width(outputs: Iterable[Floats], logits: Steps) -> list[Floats]:
    """Embedding, then logits."""
    return sorted(outputs, key=lambda output: output.shape[1] == logits.shape[1])


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
