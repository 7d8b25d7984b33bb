"""Which quantisation scheme goes through the whole line, for which student and target?

    python benchmarks/schemes.py FOLDER [--files] [--trained STUDENTS DATASET] [FAMILY ...]

Each family is quantised by each of SCHEMES through the quantize stage with its proof and gates, becomes an
Android bundle, is verified and bisected: `works`, or the sentence that refuses it. Where a stethoscope takes
the scheme, the library for its board is made and run on the emulator too. What a table of the product refuses
beforehand is asked for as well. The recordings are a few of each label of FOLDER. The students have heard
them and are not trained: whether a conversion works does not depend on what they know, and the gates of
scores and geometry, which do, are wide open. With `--trained`, the students are the artifacts
STUDENTS/FAMILY, and the recordings are those of the artifact DATASET, which they were trained on. With
`--files`, which takes a quarter of the time, a scheme's `model.pte` and `model.tflite` alone are made and
run: `runs`, with the worst clip's cosine. Each cell is written to benchmarks/results/schemes.json, and one
that it holds is not made again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from few import few, heard
from numpy.typing import NDArray
from torch import Tensor

from acula_edge.artifact import Artifact, ArtifactKind, write_json
from acula_edge.build import BuildConfig
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.spread import spread_clips
from acula_edge.environment import environment
from acula_edge.errors import AculaError
from acula_edge.progress import say
from acula_edge.runtime.divert import divert_output
from acula_edge.runtime.golden import verify_bundle
from acula_edge.runtime.runner import Runtime, open_runner
from acula_edge.students.families import FAMILIES
from acula_edge.students.store import load_student
from quantize.bisect import bisect, first_fault
from quantize.calibration import CalibrationConfig
from quantize.choice import features_of
from quantize.config import QuantizeConfig
from quantize.gates_config import Drop, GatesConfig, Least
from quantize.graphs import NamedFeatures
from quantize.parity import cosines
from quantize.prepared import Prepared
from quantize.scheme import SchemeConfig
from quantize.stage import QuantizeInputs
from quantize.stage import run as run_quantize
from targets.config import TargetConfig
from targets.stage import TargetInputs
from targets.stage import run as run_target
from targets.stethoscope.verify import core_of, verify_firmware

RESULT = Path(__file__).parent / "results" / "schemes.json"
WORK = Path(".acula-edge") / "schemes"
WORKS, RUNS = "works", "runs"
FILES_OF = (
    "static",
    "one scale per weight",
    "symmetric activations",
    "layers in float",
    "dynamic",
    "int16 activations (.tflite)",
    "weight-only (.tflite)",
)
PHONE, STETHOSCOPE = "android", "stethoscope-m7"
# The keys of [quantize] that make each scheme.
SCHEMES: dict[str, dict[str, Any]] = {
    "static": {},
    "one scale per weight": {"scheme": {"per_channel": False}},
    "symmetric activations": {"scheme": {"symmetric": True}},
    "layers in float": {"scheme": {"float_modules": ["trunk.0", "trunk.2", "embedding"]}},
    "dynamic": {"scheme": {"pte": "dynamic", "tflite": "dynamic"}},
    "int16 activations (.tflite)": {"scheme": {"tflite": "int16-activations"}},
    "weight-only (.tflite)": {"scheme": {"tflite": "weight-only"}},
    "QAT": {"scheme": {"qat": {"clips": 64, "epochs": 1}}},
    "tuning": {"tuning": {"trials": 3, "tolerable_loss": 0.0, "clips": 64, "max_float_layers": 0}},
}
# What must be refused before anything runs: sections of a build.
REFUSED: dict[str, dict[str, Any]] = {
    "int16 activations in a .pte": {"quantize": {"scheme": {"pte": "int16-activations"}}},
    "weight-only in a .pte": {"quantize": {"scheme": {"pte": "weight-only"}}},
    "QAT for another scheme than static": {"quantize": {"scheme": {"tflite": "dynamic", "qat": {}}}},
    "symmetric activations without fixed ranges": {
        "quantize": {"scheme": {"pte": "dynamic", "tflite": "dynamic", "symmetric": True}}
    },
    "dynamic with one scale per weight in a .pte": {
        "quantize": {"scheme": {"pte": "dynamic", "per_channel": False}}
    },
    "tuning of ONNX": {"quantize": {"tuning": {"runtime": "onnx"}}},
}
OPEN_GATES = GatesConfig(
    max_auroc_drop=Drop(mean=1.0),
    non_inferiority_margin=Drop(mean=1.0),
    min_embedding_cka=Least(mean=1e-6),
    min_neighbour_overlap=Least(mean=1e-6),
    max_undelegated_ops=None,
)


@dataclass(frozen=True)
class Place:
    """The few recordings, and a folder for what one cell leaves."""

    dataset: Artifact
    student: Artifact
    folder: Path


@dataclass(frozen=True)
class Asked:
    """What the command line asks for; without `students` and `dataset` they are not trained."""

    folder: Path
    files: bool
    families: tuple[str, ...]
    students: Path | None = None
    dataset: Path | None = None

    @property
    def recordings(self) -> Artifact:
        """What is heard."""
        return Artifact.open(self.dataset, ArtifactKind.DATASET) if self.dataset else few(self.folder, WORK)

    def student(self, family: str, dataset: Artifact, out: Path) -> Artifact:
        """The student that is quantised."""
        if self.students:
            return Artifact.open(self.students / family, ArtifactKind.STUDENT)
        return heard(family, dataset, out)


def main(asked: Asked) -> None:
    """Fill the cells that are still empty."""
    found, dataset = _begun(), asked.recordings
    found["refused"] = {name: _refusal(sections) for name, sections in REFUSED.items()}
    found["refused"] |= {
        f"{name} for a stethoscope": refusal
        for name, keys in SCHEMES.items()
        if (refusal := _refusal({"quantize": keys, "target": {"name": STETHOSCOPE}}))
    }
    attends = {"distill": {"student": "attention"}, "target": {"name": STETHOSCOPE}}
    found["refused"]["attention for a stethoscope"] = _refusal(attends)
    write_json(RESULT, found)
    for family in asked.families or tuple(FAMILIES):
        with TemporaryDirectory() as temporary:
            student = asked.student(family, dataset, Path(temporary) / "student")
            for name in FILES_OF if asked.files else SCHEMES:
                if name not in found["cells"].get(family, {}):
                    place = Place(dataset, student, Path(temporary) / name)
                    cell = _files(name, place) if asked.files else _cell(name, place)
                    _keep(family, name, {**cell, "trained": asked.students is not None})


def _keep(family: str, name: str, cell: dict[str, Any]) -> None:
    """Another process may have written other cells meanwhile."""
    found = _begun()
    found["cells"].setdefault(family, {})[name] = cell
    say(f"{family}, {name}: {cell}")
    write_json(RESULT, {**found, "environment": environment()})


def _begun() -> dict[str, Any]:
    if RESULT.is_file():
        found: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8"))
        return found
    return {"cells": {}}


def _cell(name: str, place: Place) -> dict[str, Any]:
    """What the line says of one scheme: of each target, the worst clip's cosines, and the operators."""
    start = time.perf_counter()
    config = QuantizeConfig.model_validate(
        {"calibration_clips": 16, "parity_clips": 4, "gates": OPEN_GATES, **SCHEMES[name]}
    )
    try:
        inputs = QuantizeInputs(place.student, place.dataset)
        quantized = run_quantize(config, inputs, place.folder / "quantized")
        targets = {PHONE: _verified(PHONE, quantized, place)}
        if not _refusal({"quantize": SCHEMES[name], "target": {"name": STETHOSCOPE}}):
            targets[STETHOSCOPE] = _verified(STETHOSCOPE, quantized, place)
    except AculaError as error:
        return {"quantize": _said(error, place)}
    return {"quantize": WORKS, **targets, **_facts(quantized), "seconds": round(time.perf_counter() - start)}


def _files(name: str, place: Place) -> dict[str, Any]:
    """The two files that take features, on the clips that the student was calibrated with."""
    start, student = time.perf_counter(), load_student(place.student)
    dataset = Dataset.open(place.dataset)
    clips = _clips(dataset, Split.TRAIN, 16)
    place.folder.mkdir()
    with divert_output(place.folder / "log"):
        scheme = SchemeConfig.model_validate(SCHEMES[name].get("scheme", {}))
        prepared = Prepared.of(student, clips, scheme, CalibrationConfig())
        models = _models(prepared, _float_tflite(place.student.path))
    with torch.no_grad():
        expected = student(clips)[0].numpy()
    cell: dict[str, Any] = {"quantize": RUNS}
    for file, content in models.items():
        (place.folder / file).write_bytes(content)
        found = open_runner(place.folder / file).run(clips.numpy()).embedding
        cell[file] = {"worst_cosine": float(cosines(expected, found).min()), "bytes": len(content)}
    return {**cell, "seconds": round(time.perf_counter() - start)}


def _models(prepared: Prepared, floating: bytes) -> dict[str, bytes]:
    """`model.pte` and `model.tflite`, this one from the float file."""
    from quantize import executorch, litert

    scheme, clips, ranges = prepared.scheme, prepared.features, prepared.ranges
    graph = executorch.quantise(prepared.network, clips, scheme, ranges)
    return {
        "model.pte": executorch.lower(graph, forward=clips[:1]).program,
        "model.tflite": litert.quantise(floating, "features", clips.numpy(), scheme, prepared.sites, ranges),
    }


def _clips(dataset: Dataset, split: Split, count: int) -> Tensor:
    return torch.from_numpy(features_of(spread_clips(dataset, split, count, 0), dataset))


@lru_cache(maxsize=1)
def _float_tflite(path: Path) -> bytes:
    """Kept from scheme to scheme."""
    from quantize import litert

    student = load_student(Artifact.open(path, ArtifactKind.STUDENT))
    silence = torch.zeros(1, 1, student.n_mels, student.n_frames)
    return litert.convert(NamedFeatures(student), "features", silence)


def _verified(name: str, quantized: Artifact, place: Place) -> str:
    """`works` if the bundle is made, gives every golden clip again, and bisect finds no fault; or why not."""
    inputs = TargetInputs(quantized, place.dataset)
    try:
        bundle = run_target(TargetConfig(name=name, golden_clips=4), inputs, place.folder / name)
        checks = verify_bundle(bundle, list(Runtime))
        core = core_of(bundle)
        firmware = core is None or verify_firmware(bundle, core).passed
        fault = first_fault(bisect(bundle, _one_clip(place)))
    except AculaError as error:
        return _said(error, place)
    missed = [f"{check.form} .{check.runtime}" for check in checks if not check.passed]
    missed += [] if firmware else ["the library on the board"]
    missed += [] if fault is None else [f"bisect: {fault.name} {fault.reason or fault.culprit}"]
    return f"missed: {', '.join(missed)}" if missed else WORKS


def _one_clip(place: Place) -> NDArray[np.int16]:
    return spread_clips(Dataset.open(place.dataset), Split.VAL, 1, 0).pcm


def _facts(quantized: Artifact) -> dict[str, Any]:
    """Of the files that take features: the worst clip against the float student, and what the CPU runs."""
    hops = {hop["name"]: hop["worst"] for hop in quantized.read_json("parity.json")["hops"]}
    ops = quantized.read_json("ops.json")
    return {
        file: {
            "worst_cosine": hops[f"eager float = {file}"],
            "undelegated": sum(ops[file]["undelegated"].values()),
            "floating": sum(ops[file]["floating"].values()),
            "bytes": quantized.file(file).stat().st_size,
        }
        for file in ("model.pte", "model.tflite")
    }


def _refusal(sections: Mapping[str, Any]) -> str:
    """The sentence that refuses a configuration; empty if it is taken."""
    try:
        BuildConfig.model_validate(sections)
    except AculaError as error:
        return str(error)
    return ""


def _said(error: AculaError, place: Place) -> str:
    """The error without the folders of this machine."""
    sentence, _, _ = str(error).partition("; the files are in")
    return sentence.replace(f"{place.folder}/", "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("families", nargs="*")
    parser.add_argument("--files", action="store_true")
    parser.add_argument("--trained", nargs=2, type=Path, default=(None, None))
    given = parser.parse_intermixed_args()  # options may stand between FOLDER and the families
    main(Asked(given.folder, given.files, tuple(given.families), *given.trained))
