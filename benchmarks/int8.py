"""What does INT8 cost on test patients: as it comes, tuned, and after quantisation-aware training?

    python benchmarks/int8.py FOLDER TEACHER STUDENT ...

TEACHER is a folder that `acula-edge teacher train --data FOLDER` wrote, each STUDENT one that
`acula-edge distill train` made from it. Each student is quantised by the product's defaults, by its tuning
and by its QAT, both with their defaults, in the quantize stage with all its gates; no setting was chosen
here, and the stage sees training and validation recordings alone. When all are made, every file runs once on
the test recordings in its own runtime, beside the float student's. Differences are paired over patients.
Writes benchmarks/results/int8.json; what was made before is used again.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from acula_edge.artifact import Artifact, ArtifactKind, write_json
from acula_edge.build import BuildConfig, make
from acula_edge.data.dataset import Dataset
from acula_edge.data.metrics import logit_slices
from acula_edge.data.recording import Split
from acula_edge.environment import environment
from acula_edge.errors import GateError
from acula_edge.evidence.cohort import Cohort, Member
from acula_edge.evidence.geometry import cka, neighbour_overlap
from acula_edge.evidence.intervals import Draws, mean_draws, resample, task_draws
from acula_edge.frontend import log_mel
from acula_edge.progress import say, track
from acula_edge.runtime.runner import Outputs, Runner, open_runner
from acula_edge.students.families import FAMILIES
from acula_edge.students.store import load_student
from quantize.config import QuantizeConfig
from quantize.gates import lower_end
from quantize.qat_config import QatConfig
from quantize.scheme import SchemeConfig
from quantize.tuning_config import TuningConfig

RESULT = Path(__file__).parent / "results" / "int8.json"
WORK = Path(".acula-edge")
RESAMPLES, DEPTH = 2000, 10
WAYS = {
    "default": QuantizeConfig(),
    "tuned": QuantizeConfig(tuning=TuningConfig()),
    "QAT": QuantizeConfig(scheme=SchemeConfig(qat=QatConfig())),
}
FLOAT, FILES = "float.tflite", ("model.pte", "model.tflite")
GOALS = {
    "largest_drop": {"tiny": 0.01, "small": 0.005, "base": 0.005},
    "margin": 0.02,
    "least_overlap": 0.9,
}


def main(folder: Path, teacher: Path, students: list[Path]) -> None:
    """Quantise all, then score all."""
    source = Artifact.open(teacher, ArtifactKind.TEACHER)
    made = {}
    for path in students:
        student = Artifact.open(path, ArtifactKind.STUDENT)
        family = family_of(student)
        made[family] = {name: _quantize(config, folder, source, student) for name, config in WAYS.items()}
    dataset = Dataset.open(make(BuildConfig(), folder, WORK, ArtifactKind.DATASET))
    test = Test(dataset)
    result = {
        "goals": GOALS,
        "recordings": len(test.cohort.members),
        "patients": len({f"{member.dataset}/{member.unit}" for member in test.cohort.members}),
        "resamples": RESAMPLES,
        "families": {family: _family(test, ways) for family, ways in made.items()},
        "environment": environment(),
    }
    write_json(RESULT, result)


def family_of(student: Artifact) -> str:
    """The name of the family that an artifact's student has the shape of."""
    config = load_student(student).config
    return next(name for name, family in FAMILIES.items() if family.config == config)


def _quantize(config: QuantizeConfig, folder: Path, teacher: Artifact, student: Artifact) -> Artifact | str:
    """The artifact, or the sentence of the gate that refuses it."""
    given = {ArtifactKind.TEACHER: teacher, ArtifactKind.STUDENT: student}
    start = time.perf_counter()
    try:
        made = make(BuildConfig(quantize=config), folder, WORK, ArtifactKind.QUANTIZED, given)
    except GateError as error:
        return str(error).partition("; the files are in")[0]
    say(f"{made.path.name}: {time.perf_counter() - start:.0f} s")
    return made


class Test:
    """The labelled test recordings, and how files are scored on them."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.recordings = [recording for recording in dataset.of(Split.TEST) if recording.labels]
        self.cohort = Cohort(tuple(map(Member.of_recording, self.recordings)))
        self._weights = resample(self.cohort, RESAMPLES, 0)

    def hear(self, runners: Mapping[str, Runner]) -> dict[str, Outputs]:
        """Embeddings (n, E) and logits (n, K) of all recordings by each: the means over their clips."""
        rows: dict[str, list[Outputs]] = {name: [] for name in runners}
        for recording in track(self.recordings, len(self.recordings), "test"):
            features = log_mel(self.dataset.clips(recording), self.dataset.contract)[:, None]
            for name, runner in runners.items():
                found = runner.run(features)
                rows[name].append(Outputs(found.embedding.mean(axis=0), found.logits.mean(axis=0)))
        return {
            name: Outputs(np.stack([row.embedding for row in own]), np.stack([row.logits for row in own]))
            for name, own in rows.items()
        }

    def auroc(self, said: Outputs) -> Draws:
        """The mean over the tasks, and what it is in each resample of the patients."""
        slices = logit_slices(self.dataset.tasks)
        return mean_draws(
            [
                task_draws(task, said.logits[:, slices[task.name]], self.cohort, self._weights)
                for task in self.dataset.tasks
                if self.cohort.rows(task.name).size
            ]
        )


def _family(test: Test, ways: Mapping[str, Artifact | str]) -> dict[str, Any]:
    """Float, and each way's files against it."""
    artifacts = {name: made for name, made in ways.items() if isinstance(made, Artifact)}
    files = {f"{name} {file}": made.file(file) for name, made in artifacts.items() for file in FILES}
    first = next(iter(artifacts.values()))
    files[FLOAT] = first.file(FLOAT)
    said = test.hear({name: open_runner(path) for name, path in files.items()})
    floating = test.auroc(said[FLOAT])
    return {
        "float": {
            "auroc": floating.estimate().model_dump(mode="json"),
            "bytes": first.file(FLOAT).stat().st_size,
        },
        "ways": {
            name: {"refused": made}
            if isinstance(made, str)
            else {
                **_about(made),
                "files": {
                    file: _against(test, said[FLOAT], floating, said[f"{name} {file}"])
                    | {"bytes": made.file(file).stat().st_size}
                    for file in FILES
                },
            }
            for name, made in ways.items()
        },
    }


def _against(test: Test, floating: Outputs, before: Draws, said: Outputs) -> dict[str, Any]:
    """One INT8 file against the float student; `gain` is INT8 less float, `lowest` one-sided."""
    after = test.auroc(said)
    lowest = lower_end(after - before)
    return {
        "auroc": after.estimate().model_dump(mode="json"),
        "gain": (after - before).estimate().model_dump(mode="json"),
        "lowest": lowest,
        "non_inferior": lowest is not None and lowest > -GOALS["margin"],
        "cka": cka(floating.embedding, said.embedding),
        "neighbour_overlap": neighbour_overlap(floating.embedding, said.embedding, DEPTH),
    }


def _about(made: Artifact) -> dict[str, Any]:
    """What was chosen on validation recordings, and the gates' own figures there."""
    grids, gates = made.read_json("calibration.json"), made.read_json("gates.json")["gates"]
    trials = made.path / "tuning.jsonl"
    return {
        "scheme": grids["scheme"],
        "observer": grids["observer"],
        "qat": grids["qat"],
        "trials": [json.loads(line) for line in trials.read_text().splitlines()] if trials.is_file() else [],
        "validation": {f"{gate['gate']} {gate['file']}": gate["value"] for gate in gates},
    }


if __name__ == "__main__":
    folder, teacher, *students = map(Path, sys.argv[1:])
    main(folder, teacher, students)
