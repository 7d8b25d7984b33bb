"""How many calibration clips are enough, and does it matter how they are chosen? On validation recordings.

    python benchmarks/calibration_curve.py FOLDER TEACHER STUDENT ...

TEACHER is a folder that `acula-edge teacher train --data FOLDER` wrote, each STUDENT an artifact with a
student of its in float. For each number of training clips and each choice of the product, and for clips drawn
at random DRAWS times, the student becomes an INT8 .tflite with the default scheme, which runs on one clip of
each of VALIDATION validation recordings: its embeddings' signal to noise ratio and worst cosine against the
float file's, and its mean AUROC less that of float. The test split is not opened. Writes
benchmarks/results/calibration_curve.json.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from int8 import family_of
from numpy.typing import NDArray

from acula_edge.artifact import Artifact, ArtifactKind, write_json
from acula_edge.build import BuildConfig, make
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording, Split
from acula_edge.data.spread import spread_clips
from acula_edge.environment import environment
from acula_edge.frontend import log_mel
from acula_edge.progress import say
from acula_edge.runtime.divert import divert_output
from acula_edge.runtime.runner import Outputs, open_runner
from acula_edge.students.store import load_student
from acula_edge.students.student import Student
from quantize import litert
from quantize.calibration import CalibrationConfig, Choice
from quantize.choice import choose_clips, features_of
from quantize.fidelity import mean_auroc
from quantize.graphs import NamedFeatures
from quantize.parity import cosines
from quantize.prepared import Prepared
from quantize.scheme import STATIC

RESULT = Path(__file__).parent / "results" / "calibration_curve.json"
WORK = Path(".acula-edge")
COUNTS, DRAWS, VALIDATION = (8, 16, 32, 64, 128, 256), 3, 512
RANDOM = "random"

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Exam:
    """Features of one clip of each validation recording, and a folder for the file that is examined."""

    dataset: Dataset
    features: Floats
    recordings: tuple[Recording, ...]
    folder: Path

    def run(self, model: bytes) -> Outputs:
        """What a .tflite says of the clips."""
        (self.folder / "model.tflite").write_bytes(model)
        return open_runner(self.folder / "model.tflite").run(self.features)

    def auroc(self, said: Outputs) -> float:
        """The mean over the tasks."""
        found = mean_auroc(self.dataset.tasks, self.recordings, said.logits)
        assert found is not None, "the validation recordings show several classes"
        return found


def main(folder: Path, teacher: Path, students: list[Path]) -> None:
    """Every student, count and choice; the result is written after each student."""
    source = Artifact.open(teacher, ArtifactKind.TEACHER)
    dataset = Dataset.open(make(BuildConfig(), folder, WORK, ArtifactKind.DATASET))
    exam = _exam(dataset)
    found = {}
    for path in students:
        artifact = Artifact.open(path)
        found[family_of(artifact)] = _curve(exam, source, load_student(artifact))
        write_json(
            RESULT,
            {"clips": len(exam.features), "draws": DRAWS, "families": found, "environment": environment()},
        )


def _exam(dataset: Dataset) -> Exam:
    clips = spread_clips(dataset, Split.VAL, VALIDATION, 0)
    by_id = {recording.id: recording for recording in dataset.of(Split.VAL)}
    folder = WORK / "calibration_curve"
    folder.mkdir(parents=True, exist_ok=True)
    heard = tuple(by_id[name] for name in clips.recordings)
    return Exam(dataset, features_of(clips, dataset), heard, folder)


def _curve(exam: Exam, teacher: Artifact, student: Student) -> dict[str, Any]:
    silence = torch.zeros(1, 1, student.n_mels, student.n_frames)
    with divert_output(exam.folder / "log"):
        plain = litert.convert(NamedFeatures(student), "features", silence)
    floating = exam.run(plain)
    rows = []
    for count in COUNTS:
        for choice, seed, features in _chosen(exam.dataset, teacher, count):
            with divert_output(exam.folder / "log"):
                prepared = Prepared.of(student, torch.from_numpy(features), STATIC, CalibrationConfig())
                grids = (STATIC, prepared.sites, prepared.ranges)
                model = litert.quantise(plain, "features", features, *grids)
            rows.append({"clips": count, "choice": choice, "seed": seed, **_judge(exam, floating, model)})
            say(f"{rows[-1]}")
    return {"float_auroc": exam.auroc(floating), "rows": rows}


def _judge(exam: Exam, floating: Outputs, model: bytes) -> dict[str, float]:
    said = exam.run(model)
    error = np.square(said.embedding - floating.embedding).sum(dtype=np.float64)
    signal = np.square(floating.embedding).sum(dtype=np.float64)
    return {
        "sqnr_db": float(10 * np.log10(signal / error)),
        "worst_cosine": float(cosines(floating.embedding, said.embedding).min()),
        "auroc_gain": exam.auroc(said) - exam.auroc(floating),
    }


def _chosen(dataset: Dataset, teacher: Artifact, count: int) -> Iterator[tuple[str, int, Floats]]:
    for choice in Choice:
        clips = choose_clips(choice, dataset, teacher, count, 0)
        yield choice.value, 0, features_of(clips, dataset)
    for seed in range(DRAWS):
        yield RANDOM, seed, _random(dataset, count, seed)


def _random(dataset: Dataset, count: int, seed: int) -> Floats:
    """One clip of each of some training recordings, every recording as likely as the next."""
    rng = np.random.default_rng(seed)
    recordings = dataset.of(Split.TRAIN)
    chosen = [recordings[index] for index in rng.permutation(len(recordings))[:count]]
    pcm = np.stack([rng.choice(dataset.clips(recording)) for recording in chosen])
    return np.ascontiguousarray(log_mel(pcm, dataset.contract)[:, None])


if __name__ == "__main__":
    folder, teacher, *students = map(Path, sys.argv[1:])
    main(folder, teacher, students)
