"""Which quantisation scheme goes through the whole line, for which student and target?

    python benchmarks/schemes.py FOLDER [FAMILY ...]

Each family is quantised by each of SCHEMES through the quantize stage with its proof and gates, becomes an
Android bundle, is verified and bisected: `works`, or the sentence that refuses it. Where a stethoscope takes
the scheme, the library for its board is made and run on the emulator too. What a table of the product refuses
beforehand is asked for as well. The recordings are a few of each label of FOLDER. The students have heard
them and are not trained: whether a conversion works does not depend on what they know, and the gates of
scores and geometry, which do, are wide open. benchmarks/results/schemes.json is written after each cell; a
cell that it holds is not run again.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description, write_json
from acula_edge.build import BuildConfig
from acula_edge.data.config import DataConfig
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.spread import spread_clips
from acula_edge.data.stage import DataInputs
from acula_edge.data.stage import run as run_data
from acula_edge.environment import environment
from acula_edge.errors import AculaError
from acula_edge.progress import say
from acula_edge.runtime.golden import verify_bundle
from acula_edge.runtime.runner import Runtime
from acula_edge.students.families import FAMILIES
from acula_edge.students.space import TextSpace
from acula_edge.students.store import save_student
from acula_edge.students.student import Student
from quantize.bisect import bisect, first_fault
from quantize.choice import features_of
from quantize.config import QuantizeConfig
from quantize.gates_config import Drop, GatesConfig, Least
from quantize.stage import QuantizeInputs
from quantize.stage import run as run_quantize
from targets.config import TargetConfig
from targets.stage import TargetInputs
from targets.stage import run as run_target
from targets.stethoscope.verify import core_of, verify_firmware

RESULT = Path(__file__).parent / "results" / "schemes.json"
WORK = Path(".acula-edge") / "schemes"
WORKS = "works"
PHONE, STETHOSCOPE = "android", "stethoscope-m7"
PATIENTS, RECORDINGS = 3, 2  # of each label
HEARD, SHARED_DIM = 48, 192
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


def main(folder: Path, *families: str) -> None:
    """Fill the cells that are still empty."""
    found = _begun()
    found["refused"] = {name: _refusal(sections) for name, sections in REFUSED.items()}
    found["refused"] |= {
        f"{name} for a stethoscope": refusal
        for name, keys in SCHEMES.items()
        if (refusal := _refusal({"quantize": keys, "target": {"name": STETHOSCOPE}}))
    }
    dataset = _few(folder)
    for family in families or FAMILIES:
        with TemporaryDirectory() as temporary:
            student = _student(family, dataset, Path(temporary) / "student")
            for name in SCHEMES:
                if name not in found["cells"].setdefault(family, {}):
                    place = Place(dataset, student, Path(temporary) / name)
                    found["cells"][family][name] = _cell(name, place)
                    say(f"{family}, {name}: {found['cells'][family][name]}")
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


def _verified(name: str, quantized: Artifact, place: Place) -> str:
    """`works` if the bundle is made, gives every golden clip again, and bisect finds no fault; or why not."""
    inputs = TargetInputs(quantized, place.dataset)
    try:
        bundle = run_target(TargetConfig(name=name, golden_clips=4), inputs, place.folder / name)
        checks = verify_bundle(bundle, list(Runtime))
        core = core_of(bundle)
        firmware = core is None or verify_firmware(bundle, core).passed
        fault = first_fault(bisect(bundle, _clip(place)))
    except AculaError as error:
        return _said(error, place)
    missed = [f"{check.form} .{check.runtime}" for check in checks if not check.passed]
    missed += [] if firmware else ["the library on the board"]
    missed += [] if fault is None else [f"bisect: {fault.name} {fault.reason or fault.culprit}"]
    return f"missed: {', '.join(missed)}" if missed else WORKS


def _clip(place: Place) -> NDArray[np.int16]:
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


def _student(family: str, dataset_artifact: Artifact, out: Path) -> Artifact:
    """A student whose normalisations know real sound; its text space is drawn."""
    dataset = Dataset.open(dataset_artifact)
    features = torch.from_numpy(features_of(spread_clips(dataset, Split.TRAIN, HEARD, 0), dataset))
    torch.manual_seed(0)
    n_logits = sum(task.n_logits for task in dataset.tasks)
    config = FAMILIES[family].config
    student = Student(config, dataset.contract.n_mels, dataset.contract.n_frames, n_logits).train()
    for layer in student.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # the plain mean over the passes
    with torch.no_grad():
        student(features)
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(SHARED_DIM, config.embedding_dim)))
    with ArtifactWriter(out) as writer:
        save_student(writer.path, student.eval())
        TextSpace(basis.astype(np.float32), {}, 1.0).save(writer.path)
        contract = dataset.contract.model_dump(mode="json")
        parents = (dataset_artifact.parent,)
        return writer.commit(
            Description(
                kind=ArtifactKind.STUDENT, key="heard, not trained", parents=parents, contract=contract
            )
        )


def _few(folder: Path) -> Artifact:
    """A Dataset of a few patients of each label."""
    out = WORK / "dataset"
    if out.is_dir():
        return Artifact.open(out, ArtifactKind.DATASET)
    recordings = WORK / "recordings"
    recordings.mkdir(parents=True, exist_ok=True)
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as stream:
        rows = _some(list(csv.DictReader(stream)))
    for row in rows:
        (recordings / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        (recordings / row["path"]).unlink(missing_ok=True)
        (recordings / row["path"]).symlink_to((folder / row["path"]).resolve())
    with (recordings / "metadata.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return run_data(DataConfig(), DataInputs(recordings), out)


def _some(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The first RECORDINGS of the first PATIENTS of each label."""
    takes, patients, chosen = Counter[tuple[str, ...]](), Counter[tuple[str, ...]](), []
    for row in rows:
        label = (row["dataset"], row["label"])
        patient = (*label, row["patient_id"] or row["path"])
        patients[label] += takes[patient] == 0
        if patients[label] <= PATIENTS and takes[patient] < RECORDINGS:
            chosen.append(row)
        takes[patient] += 1
    return chosen


if __name__ == "__main__":
    folder, *families = sys.argv[1:]
    main(Path(folder), *families)
