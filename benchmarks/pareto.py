"""Size, latency and test AUROC of our files against what others make of the same student.

    python benchmarks/pareto.py FOLDER QUANTIZED ...

Each QUANTIZED is the artifact of a quantize stage with its default configuration, as `acula-edge build --data
FOLDER` leaves it in its work folder. From its float files ONNX Runtime's `quantize_static` (QDQ, a scale for
each channel), ai-edge-quantizer's static recipe with its own `calibrate`, and ExecuTorch's XNNPACKQuantizer
with its own observers make INT8 files too; all hear the same calibration clips. Ours are there a second time
with the first convolution in float. Each file is timed in fresh processes, in rounds in which all take their
turn in a drawn order, so that what else the machine does falls on all of them. The plain .tflite takes and
gives INT8: the conversion of its inputs and outputs is not in its time. Every file is scored on the test
recordings. Writes benchmarks/results/pareto.json.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from int8 import Test, family_of
from numpy.typing import NDArray

from acula_edge.artifact import Artifact, ArtifactKind, write_json
from acula_edge.build import BuildConfig, make
from acula_edge.data.dataset import Dataset
from acula_edge.environment import environment
from acula_edge.progress import say, track
from acula_edge.runtime.divert import divert_output
from acula_edge.runtime.runner import Outputs, Runner, open_runner
from acula_edge.students.store import load_student
from quantize.choice import choose_clips, features_of
from quantize.config import QuantizeConfig
from quantize.scheme import SchemeConfig

RESULT = Path(__file__).parent / "results" / "pareto.json"
WORK = Path(".acula-edge")
ROUNDS, RUNS, WARMUP, THREADS = 4, 60, 10, (1, 2)
FLOAT = "float .tflite"

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class System:
    """A model file's name, what made it, and whether it is INT8 and ours."""

    name: str
    title: str
    int8: bool = True
    ours: bool = False

    def file(self, quantized: Artifact, made: Path) -> Path:
        """In the folder `made` of a student, or in its artifact."""
        own = made / self.name
        return own if own.is_file() else quantized.file(self.name)


SYSTEMS = {
    "our .pte": System("model.pte", "ours, ExecuTorch", ours=True),
    "our .tflite": System("model.tflite", "ours, LiteRT", ours=True),
    "our .pte, float stem": System("stem.pte", "ours, first layer in float, ExecuTorch", ours=True),
    "our .tflite, float stem": System("stem.tflite", "ours, first layer in float, LiteRT", ours=True),
    "plain .pte": System("plain.pte", "XNNPACKQuantizer, ExecuTorch"),
    "plain .tflite": System("plain.tflite", "ai-edge-quantizer, LiteRT"),
    "static .onnx": System("onnxruntime.onnx", "quantize_static, ONNX Runtime"),
    "float .pte": System("float.pte", "float, ExecuTorch", int8=False),
    FLOAT: System("float.tflite", "float, LiteRT", int8=False),
    "float .onnx": System("model.onnx", "float, ONNX Runtime", int8=False),
}


def main(folder: Path, artifacts: list[Path]) -> None:
    """Make all files, time them, and score them."""
    test = Test(Dataset.open(make(BuildConfig(), folder, WORK, ArtifactKind.DATASET)))
    found = {}
    for path in artifacts:
        quantized = Artifact.open(path, ArtifactKind.QUANTIZED)
        family = family_of(quantized)
        files, clip = _files(test.dataset, quantized, WORK / "pareto" / family)
        found[family] = _family(test, files, clip)
        write_json(RESULT, {**_how(), "families": found, "environment": environment()})


def _how() -> dict[str, Any]:
    return {"rounds": ROUNDS, "runs": RUNS, "warmup": WARMUP, "threads": THREADS}


def _files(dataset: Dataset, quantized: Artifact, folder: Path) -> tuple[dict[str, Path], Path]:
    """Every file of one student, and one clip's features as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    config = QuantizeConfig()
    clips = choose_clips(config.calibration.choice, dataset, None, config.calibration_clips, config.seed)
    features = features_of(clips, dataset)
    np.save(folder / "clip.npy", features[:1])
    with divert_output(folder / "log"):
        _onnxruntime(quantized.file("model.onnx"), features, folder / "onnxruntime.onnx")
        _ai_edge_quantizer(quantized.file("float.tflite"), features, folder / "plain.tflite")
        _xnnpack(quantized, features, folder / "plain.pte")
        _float_stem(quantized, features, folder)
    return {name: system.file(quantized, folder) for name, system in SYSTEMS.items()}, folder / "clip.npy"


def _onnxruntime(source: Path, features: Floats, out: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(features)

        def get_next(self) -> dict[str, Floats] | None:
            clip = next(self._left, None)
            return None if clip is None else {"features": clip[None]}

    prepared = out.with_name("prepared.onnx")
    quant_pre_process(str(source), str(prepared))
    quantize_static(str(prepared), str(out), Reader(), per_channel=True)


def _ai_edge_quantizer(source: Path, features: Floats, out: Path) -> None:
    from ai_edge_quantizer import recipe
    from ai_edge_quantizer.quantizer import Quantizer

    quantizer = Quantizer(str(source), recipe.static_wi8_ai8())
    heard = {"serving_default": [{"features": clip[None]} for clip in features]}
    out.write_bytes(quantizer.quantize(quantizer.calibrate(heard)).quantized_model)


def _float_stem(quantized: Artifact, features: Floats, folder: Path) -> None:
    """The product's own mixed precision: `quantize.scheme.float_modules = ["trunk.0"]`."""
    import torch

    from quantize import executorch, litert
    from quantize.prepared import Prepared

    scheme, clips = SchemeConfig(float_modules=("trunk.0",)), torch.from_numpy(features)
    prepared = Prepared.of(load_student(quantized), clips, scheme, QuantizeConfig().calibration)
    graph = executorch.quantise(prepared.network, clips, scheme, prepared.ranges)
    (folder / "stem.pte").write_bytes(executorch.lower(graph, forward=clips[:1]).program)
    plain = quantized.file("float.tflite").read_bytes()
    model = litert.quantise(plain, "features", features, scheme, prepared.sites, prepared.ranges)
    (folder / "stem.tflite").write_bytes(model)


def _xnnpack(student: Artifact, features: Floats, out: Path) -> None:
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    from quantize.executorch import lower
    from quantize.sites import exported

    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    clips = torch.from_numpy(features)
    prepared = prepare_pt2e(exported(load_student(student), clips), quantizer)
    with torch.no_grad():
        for clip in clips:
            prepared(clip[None])
    out.write_bytes(lower(convert_pt2e(prepared), forward=clips[:1]).program)


class AnyRunner:
    """A model file that is fed float features, INT8 at its border or not."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.runner: Runner = open_runner(path, threads)
        self._input, self._outputs = _border(path) if path.suffix == ".tflite" else ((1.0, None), {})

    def batch(self, features: Floats) -> NDArray[Any]:
        """What the file takes."""
        scale, zero_point = self._input
        if zero_point is None:
            return features
        return np.clip(np.rint(features / scale) + zero_point, -128, 127).astype(np.int8)

    def run(self, batch: Floats) -> Outputs:
        """Float embeddings and logits."""
        found = self.runner.run(self.batch(batch))
        return Outputs(self._real("embedding", found.embedding), self._real("logits", found.logits))

    def _real(self, name: str, values: NDArray[Any]) -> Floats:
        scale, zero_point = self._outputs.get(name, (1.0, None))
        return values if zero_point is None else ((values.astype(np.float32) - zero_point) * scale)


Grid = tuple[float, int | None]  # scale, and zero point where a tensor is INT8


def _border(path: Path) -> tuple[Grid, dict[str, Grid]]:
    from ai_edge_litert.interpreter import Interpreter

    def grid(details: Mapping[str, Any]) -> Grid:
        scale, zero_point = details["quantization"]
        return (scale, zero_point) if details["dtype"] is np.int8 else (1.0, None)

    with divert_output():
        signature = Interpreter(str(path)).get_signature_runner()
    (source,) = signature.get_input_details().values()
    return grid(source), {name: grid(own) for name, own in signature.get_output_details().items()}


def _family(test: Test, files: Mapping[str, Path], clip: Path) -> dict[str, Any]:
    load = os.getloadavg()
    times = _time_all(files, clip)
    said = test.hear({name: AnyRunner(file) for name, file in files.items()})
    scores = {name: test.auroc(found) for name, found in said.items()}
    rows = {
        name: {
            "title": system.title,
            "int8": system.int8,
            "ours": system.ours,
            "bytes": files[name].stat().st_size,
            "auroc": scores[name].estimate().model_dump(mode="json"),
            "gain": (scores[name] - scores[FLOAT]).estimate().model_dump(mode="json"),
            "latency": times[name],
        }
        for name, system in SYSTEMS.items()
    }
    return {
        "systems": rows,
        "front": {str(threads): list(front(_points(rows, threads))) for threads in THREADS},
        "load_average": [load[0], os.getloadavg()[0]],
    }


def _points(rows: Mapping[str, Mapping[str, Any]], threads: int) -> dict[str, tuple[float, float, float]]:
    """Bytes, median latency and negative AUROC: less is better."""
    return {
        name: (row["bytes"], row["latency"][str(threads)]["median_ms"], -row["auroc"]["value"])
        for name, row in rows.items()
    }


def front(points: Mapping[str, tuple[float, ...]]) -> Iterator[str]:
    """The names whose point no other one is at least as good as in all, and better in one."""
    for name, point in points.items():
        others = (other for other in points.values() if other != point)
        if not any(all(a <= b for a, b in zip(other, point, strict=True)) for other in others):
            yield name


def _time_all(files: Mapping[str, Path], clip: Path) -> dict[str, dict[str, Any]]:
    jobs = [(name, threads) for name in files for threads in THREADS]
    samples: dict[tuple[str, int], list[list[float]]] = {job: [] for job in jobs}
    rng = random.Random(0)
    turns = [job for _ in range(ROUNDS) for job in rng.sample(jobs, len(jobs))]
    for name, threads in track(turns, len(turns), "timing"):
        samples[name, threads].append(_ask(files[name], clip, threads))
    return {name: {str(threads): _summary(samples[name, threads]) for threads in THREADS} for name in files}


def _ask(file: Path, clip: Path, threads: int) -> list[float]:
    limits = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    command = [sys.executable, __file__, "--time", str(file), str(clip), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | limits)
    samples: list[float] = json.loads(done.stdout.strip().splitlines()[-1])
    return samples


def _summary(rounds: list[list[float]]) -> dict[str, Any]:
    together = np.concatenate(rounds)
    low, median, high = (round(float(value), 4) for value in np.percentile(together, (10, 50, 90)))
    medians = [round(float(np.median(one)), 4) for one in rounds]
    return {
        "median_ms": median,
        "p10_ms": low,
        "p90_ms": high,
        "round_medians_ms": medians,
        "samples_ms": [[round(value, 4) for value in one] for one in rounds],
    }


def _time(file: Path, clip: Path, threads: int) -> list[float]:
    """Milliseconds of each run, in this process."""
    opened = AnyRunner(file, threads)
    batch = opened.batch(np.load(clip))
    for _ in range(WARMUP):
        opened.runner.run(batch)
    samples = []
    for _ in range(RUNS):
        start_ns = time.perf_counter_ns()
        opened.runner.run(batch)
        samples.append((time.perf_counter_ns() - start_ns) / 1e6)
    return samples


if __name__ == "__main__":
    if sys.argv[1] == "--time":
        file, clip, threads = sys.argv[2:]
        print(json.dumps(_time(Path(file), Path(clip), int(threads))))
    else:
        folder, *artifacts = map(Path, sys.argv[1:])
        main(folder, artifacts)
        say(f"{RESULT.name} is written")
