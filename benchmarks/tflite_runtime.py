"""Does the older runtime of many devices, tflite-runtime 2.14, run every .tflite, and give the same?

    python benchmarks/tflite_runtime.py FOLDER [CHECKPOINTS [PYTHON]]

tflite-runtime needs numpy below 2, so it lives in an environment of its own: PYTHON, or one that is made in a
temporary folder. Each file runs there in a process of its own, on real clips of the recordings in FOLDER, and
here in ai-edge-litert without a delegate: optimised kernels against optimised ones, reference kernels against
reference ones. CHECKPOINTS is the folder that benchmarks/students.py trained in; a family without a student
there is untrained. Writes benchmarks/results/tflite_runtime.json.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from some_students import Sounds, sounds, student_of

from acula_edge.artifact import ArtifactKind, write_json
from acula_edge.build import BuildConfig, make
from acula_edge.contract import AudioContract
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.environment import environment
from acula_edge.frontend import log_mel_module
from acula_edge.progress import say
from acula_edge.runtime.divert import divert_output
from acula_edge.students.families import FAMILIES
from acula_edge.students.student import Student
from quantize import litert
from quantize.calibration import CalibrationConfig
from quantize.graphs import NamedFeatures, NamedPcm
from quantize.ops import tflite_steps
from quantize.prepared import Prepared
from quantize.scheme import Scheme, SchemeConfig

HERE = Path(__file__).parent
RESULT = HERE / "results" / "tflite_runtime.json"
RUNNER = HERE / "tflite_runtime_run.py"
PACKAGES = ("tflite-runtime==2.14.0", "numpy<2")
CALIBRATION, CLIPS = 64, 24
FLOAT_BOUND = 1e-4  # absolute, as the parity gate has it
STEPS_BOUND = 1.0
# Those of tflite-runtime, and those of ai-edge-litert that they are compared with.
KERNELS = {
    "default": ("AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"),
    "optimised": ("BUILTIN_WITHOUT_DEFAULT_DELEGATES", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"),
    "reference": ("BUILTIN_REF", "BUILTIN_REF"),
}
OTHERS = (Scheme.INT16, Scheme.DYNAMIC, Scheme.WEIGHT_ONLY)  # of one family: their operators are the same

Arrays = Mapping[str, NDArray[np.float32]]


def files_of(
    student: Student, contract: AudioContract, heard: Sounds, others: bool
) -> Iterator[tuple[str, bytes]]:
    """Each .tflite of a student as the quantize stage makes it, with its name; `others`: by every scheme."""
    features = torch.from_numpy(heard.features)
    prepared = Prepared.of(student, features, SchemeConfig(), CalibrationConfig())
    plain = litert.convert(NamedFeatures(student), "features", features[:1])
    whole = NamedPcm(log_mel_module(contract), student)
    whole_plain = litert.convert(whole, "pcm", torch.from_numpy(heard.pcm[:1]))
    grids = (prepared.sites, prepared.ranges)
    yield "float.tflite", plain
    yield "model.tflite", litert.quantise(plain, "features", heard.features, SchemeConfig(), *grids)
    yield "model_pcm.tflite", litert.quantise(whole_plain, "pcm", heard.pcm, SchemeConfig(), *grids)
    for scheme in OTHERS if others else ():
        config = SchemeConfig(tflite=scheme)
        yield f"model.tflite, {scheme}", litert.quantise(plain, "features", heard.features, config, *grids)


def here(model: Path, batch: NDArray[Any], kernels: str) -> Arrays:
    """Outputs of ai-edge-litert."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=str(model), experimental_op_resolver_type=OpResolverType[kernels], num_threads=1
    )
    interpreter.allocate_tensors()
    run = interpreter.get_signature_runner()
    (name,) = run.get_input_details()
    found = [run(**{name: batch[i : i + 1]}) for i in range(len(batch))]
    return {key: np.concatenate([one[key] for one in found]) for key in ("embedding", "logits")}


def there(python: str, model: Path, inputs: Path, kernels: str) -> tuple[Arrays, dict[str, Any]]:
    """Outputs of tflite-runtime and what it says of its run; no outputs where it refuses the file."""
    out = model.with_suffix(".npz")
    # -P: this file has the name of the package.
    command = [python, "-P", str(RUNNER), str(model), str(inputs), str(out), kernels]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return {}, {"error": (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]}
    with np.load(out) as stored:
        return dict(stored), json.loads(done.stdout)


def compare(python: str, content: bytes, inputs: Path, folder: Path) -> dict[str, Any]:
    """One file in both runtimes, by each kind of kernels."""
    model = folder / "model.tflite"
    model.write_bytes(content)
    steps = tflite_steps(model)
    bound = STEPS_BOUND + 1e-3 if steps else FLOAT_BOUND  # a quotient of two float32
    row: dict[str, Any] = {"bytes": len(content), "unit": "INT8 steps" if steps else "absolute"}
    for kind, (kernels, ours) in KERNELS.items():
        found, told = there(python, model, inputs, kernels)
        row[kind] = told
        if not found:
            continue
        errors = [
            np.abs(found[output] - values).max(axis=1) / (steps[output].scale if output in steps else 1.0)
            for output, values in here(model, np.load(inputs), ours).items()
        ]
        worst = np.max(errors, axis=0)
        told["largest"] = round(float(worst.max()), 6)
        told["clips_beyond_bound"] = int((worst > bound).sum())
    return row


def environment_in(folder: Path) -> str:
    """The Python of a new environment with tflite-runtime."""
    say("making an environment with tflite-runtime")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return str(python)


def main(folder: Path, checkpoints: Path | None = None, python: str | None = None) -> None:
    """Every family, every file."""
    dataset = Dataset.open(make(BuildConfig(), folder, Path(".acula-edge"), ArtifactKind.DATASET))
    heard, tried = sounds(dataset, Split.TRAIN, CALIBRATION), sounds(dataset, Split.VAL, CLIPS)
    rows = []
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        python = python or environment_in(work / "environment")
        np.save(work / "features.npy", tried.features)
        np.save(work / "pcm.npy", tried.pcm)
        for family in FAMILIES:
            say(family)
            file = checkpoints / f"{family}-distilled.safetensors" if checkpoints else None
            trained = file if file and file.is_file() else None
            student = student_of(family, dataset, torch.from_numpy(heard.features), trained)
            with divert_output(work / "converters.log"):
                files = list(files_of(student, dataset.contract, heard, others=family == "small"))
                for name, content in files:
                    inputs = work / ("pcm.npy" if "pcm" in name else "features.npy")
                    found = compare(python, content, inputs, work)
                    rows.append({"family": family, "trained": trained is not None, "file": name, **found})
    bounds = {"INT8 steps": STEPS_BOUND, "absolute": FLOAT_BOUND}
    told = {"packages": PACKAGES, "clips": CLIPS, "bounds": bounds, "files": rows}
    write_json(RESULT, {**told, "environment": environment()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(Path, sys.argv[2:3]), *sys.argv[3:4])
