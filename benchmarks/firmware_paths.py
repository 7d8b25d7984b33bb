"""Do other ways from a recording to a decision agree with the firmware, and what do compilers say of it?

    python benchmarks/firmware_paths.py DATASET TFLM_PYTHON FAMILY=QUANTIZED...

DATASET and QUANTIZED are artifacts of builds, in their --work folders. CLIPS clips of training and validation
recordings go through: the firmware (its front end's twin and LiteRT's reference kernels, which the tests and
`verify` hold the C code to, bit by bit); the same network behind the exact front end; the .tflite that takes
PCM, with reference kernels and with LiteRT's default, XNNPACK. Every clip is decided by the frozen rules.
Of the last FAMILY: TFLM_PYTHON, a Python with the package tflite-micro, runs it, and it is compiled for every
Ethos-U; those are estimates of the compiler, and nothing is executed.
Writes benchmarks/results/firmware_paths.json.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.artifact import Artifact, write_json
from acula_edge.data.dataset import Dataset
from acula_edge.data.metrics import logit_slices
from acula_edge.data.recording import Recording, Split
from acula_edge.data.spread import spread
from acula_edge.environment import environment
from acula_edge.evidence.decisions import Decisions
from acula_edge.frontend import log_mel, unnormalised_log_mel
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
    """A student, its recordings, a clip of each, int16 (n, samples), and INT8 features (n, mels, frames).

    `made` are the firmware's; `real` is what it rounds, exactly: float64, in steps.
    """

    quantized: Artifact
    dataset: Dataset
    network: Network
    recordings: list[Recording]
    pcm: NDArray[np.int16]
    made: Steps
    real: NDArray[np.float64]

    @property
    def grid(self) -> Grid:
        """Of the logits."""
        return self.network.logits.grid

    @property
    def exact(self) -> Steps:
        """Features of the reference front end, in float64, rounded once."""
        return np.clip(np.rint(self.real), -128, 127).astype(np.int8)


def main(dataset: Path, tflm_python: str, students: dict[str, Path]) -> None:
    """Run every path, compare, and write the result."""
    opened = Dataset.open(Artifact.open(dataset))
    found = {}
    for name, quantized in students.items():
        say(f"{name}: {CLIPS} clips")
        paths = _open(Artifact.open(quantized), opened)
        found[name] = _student(paths)
    model = paths.quantized.file("model.tflite")
    npus = {npu: compile_for(spec, integer_model(model)).to_json() for npu, spec in sorted(NPUS.items())}
    result = {
        "clips": CLIPS,
        "students": found,
        "compiled": name,
        "tflm": _tflm(paths, tflm_python),
        "npus": npus,
        "environment": environment(),
    }
    write_json(RESULT, result)


def _student(paths: Paths) -> dict[str, Any]:
    exact, model = paths.exact, paths.quantized.file("model.tflite")
    firmware = reference_answers(model, paths.network, paths.made).logits
    heard = _from_pcm(paths, reference=True)
    others = {
        "exact features, reference kernels": reference_answers(model, paths.network, exact).logits,
        "model_pcm.tflite, reference kernels": heard.logits,
        "model_pcm.tflite, XNNPACK": _from_pcm(paths, reference=False).logits,
    }
    own = reference_answers(model, paths.network, heard.features).logits
    return {
        "student": paths.quantized.digest,
        "features": {"firmware": _off(paths.made, exact), "model_pcm.tflite": _off(heard.features, exact)},
        "paths": [{"path": name, **_against(paths, firmware, logits)} for name, logits in others.items()],
        "causes": list(_causes(paths, firmware, heard)),
        "logits_off_with_the_features_of_model_pcm": float((own != heard.logits).mean()),
    }


def _open(quantized: Artifact, dataset: Dataset) -> Paths:
    network = read_network(quantized.file("model.tflite"))
    recordings = spread([*dataset.of(Split.TRAIN), *dataset.of(Split.VAL)], CLIPS, SEED)
    pcm = np.stack([dataset.clips(recording)[0] for recording in recordings])
    contract, grid = dataset.contract, network.features.grid
    assert contract.normalisation is not None
    mean, std = (np.array(one)[:, None] for one in (contract.normalisation.mean, contract.normalisation.std))
    real = (unnormalised_log_mel(pcm, contract) - mean) / std / grid.scale + grid.zero_point
    made = features(pcm, contract, make_tables(contract, grid))
    return Paths(quantized, dataset, network, recordings, pcm, made, real)


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
            found.append(interpreter.get_tensor(steps).reshape(paths.made.shape[1:]))
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
    """How often steps of logits, and decisions on single clips, differ from the firmware's.

    Where a decision differs, a limit of its rule lies between both logits: `steps_from_a_limit` at most.
    """
    off = np.abs(firmware.astype(int) - logits)
    differ = _different(paths, firmware, logits)
    slices = logit_slices(paths.dataset.tasks)
    return {
        "decisions": sum(map(len, _decide(paths, firmware))),
        "different_decisions": len(differ),
        "steps_from_a_limit": max((int(off[clip, slices[task].start]) for clip, task in differ), default=0),
        "logits_off": float((off > 0).mean()),
        "most_steps": int(off.max()),
    }


def _different(paths: Paths, firmware: Steps, logits: Steps) -> list[tuple[int, str]]:
    """Clip and task of each decision that differs."""
    pairs = zip(_decide(paths, firmware), _decide(paths, logits), strict=True)
    return [(clip, task) for clip, (one, two) in enumerate(pairs) for task in one if one[task] != two[task]]


def _causes(paths: Paths, firmware: Steps, heard: Heard) -> Iterator[dict[str, Any]]:
    """Each decision that differs from that of the .tflite by like kernels, and the features behind it."""
    slices = logit_slices(paths.dataset.tasks)
    for clip, task in _different(paths, firmware, heard.logits):
        logit = slices[task].start
        places = np.argwhere(paths.made[clip] != heard.features[clip])
        yield {
            "recording": paths.recordings[clip].id,
            "task": task,
            "logits": {"firmware": int(firmware[clip, logit]), "tflite": int(heard.logits[clip, logit])},
            "features": [
                {
                    "mel": int(mel),
                    "frame": int(frame),
                    "exact": float(paths.real[clip, mel, frame]),
                    "firmware": int(paths.made[clip, mel, frame]),
                    "tflite": int(heard.features[clip, mel, frame]),
                }
                for mel, frame in places
            ],
        }


def _decide(paths: Paths, steps: Steps) -> list[dict[str, str]]:
    rules = Decisions.model_validate(paths.quantized.read_json("thresholds.json"))
    real = (steps.astype(np.float64) - paths.grid.zero_point) * paths.grid.scale
    return [dict(rules.decide(paths.dataset.tasks, row)) for row in real]


def _tflm(paths: Paths, python: str) -> dict[str, Any]:
    """The interpreter of TFLite Micro on the float features."""
    model = paths.quantized.file("model.tflite")
    given = log_mel(paths.pcm, paths.dataset.contract)[:, None]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "features.npy", given)
        command = [python, str(TFLM), "--outputs", str(model), str(folder)]
        version = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        outputs = [np.load(folder / f"output_{index}.npy") for index in (0, 1)]
    own = reference_answers(model, paths.network, paths.exact)
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
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    named = dict(argument.split("=", 1) for argument in sys.argv[3:])
    main(Path(sys.argv[1]), sys.argv[2], {name: Path(path) for name, path in named.items()})
