"""Does pruning pay? A real student with zeros in its weights, trained to bear them, against itself.

    python benchmarks/sparsity.py FOLDER STUDENT

STUDENT is a folder that `acula-edge distill train --data FOLDER` wrote. The pointwise convolutions, which
hold most of the weights, lose half of them in the pattern 2:4 (of four neighbouring inputs the two smallest),
or the smallest three quarters; the student is then trained a little on its own float outputs, as QAT does.
AUROC is that of one clip of each validation recording through the INT8 .tflite; all files of a runtime run in
turns. Writes benchmarks/results/sparsity.json.
"""

from __future__ import annotations

import copy
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acula_edge.artifact import Artifact, ArtifactKind, write_json
from acula_edge.build import BuildConfig, make
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.spread import spread_clips
from acula_edge.environment import environment
from acula_edge.frontend import log_mel
from acula_edge.progress import say
from acula_edge.runtime.divert import divert_output
from acula_edge.runtime.runner import open_runner
from acula_edge.students.store import load_student
from acula_edge.students.student import Student
from quantize import executorch, litert
from quantize.calibration import CalibrationConfig
from quantize.fidelity import mean_auroc
from quantize.graphs import NamedFeatures
from quantize.prepared import Prepared
from quantize.qat import error
from quantize.scheme import SchemeConfig

RESULT = Path(__file__).parent / "results" / "sparsity.json"
LESSONS, CALIBRATION = 1024, 256
EPOCHS, BATCH, RATE = 6, 32, 5e-4
ROUNDS, RUNS, WARM_UP = 5, 60, 10
FILES = ("model.pte", "model.tflite", "float.tflite")


def two_of_four(weight: Tensor) -> Tensor:
    """The mask of the two largest of each four inputs (out, in, 1, 1)."""
    groups = weight.abs().reshape(weight.shape[0], -1, 4)
    kept = groups.argsort(dim=2, descending=True)[..., :2]
    return torch.zeros_like(groups).scatter_(2, kept, 1.0).reshape(weight.shape)


def largest_quarter(weight: Tensor) -> Tensor:
    """The mask of the quarter with the largest magnitudes."""
    return (weight.abs() > weight.abs().flatten().quantile(0.75)).to(weight.dtype)


MASKS: dict[str, Callable[[Tensor], Tensor] | None] = {
    "dense": None,
    "2:4": two_of_four,
    "75 %": largest_quarter,
}


@dataclass(frozen=True)
class Lessons:
    """Features (n, 1, n_mels, n_frames) to train on, to calibrate on and to be judged by."""

    train: Tensor
    val: Tensor
    score: Callable[[NDArray[np.float32]], float | None]


def lessons_of(dataset: Dataset) -> Lessons:
    """One clip of each recording; validation recordings all, the test split stays closed."""
    train, val = spread_clips(dataset, Split.TRAIN, LESSONS, 0), spread_clips(dataset, Split.VAL, 10**6, 0)
    by_id = {recording.id: recording for recording in dataset.of(Split.VAL)}
    heard = [by_id[name] for name in val.recordings]
    features = [
        torch.from_numpy(np.ascontiguousarray(log_mel(clips.pcm, dataset.contract)[:, None]))
        for clips in (train, val)
    ]
    return Lessons(*features, lambda logits: mean_auroc(dataset.tasks, heard, logits))


def pointwise(student: Student) -> list[nn.Conv2d]:
    """The convolutions of one pixel over all channels."""
    return [
        layer
        for layer in student.modules()
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.in_channels % 4 == 0
    ]


def pruned(student: Student, mask_of: Callable[[Tensor], Tensor], train: Tensor) -> Student:
    """A copy with zeros, trained to repeat the student's outputs; the normalisation stays frozen."""
    found = copy.deepcopy(student).eval()
    masks = [(layer, mask_of(layer.weight.detach())) for layer in pointwise(found)]
    with torch.no_grad():
        targets = [torch.cat(part) for part in zip(*map(student, train.split(BATCH)), strict=True)]
        for layer, mask in masks:
            layer.weight.mul_(mask)
    optimiser = torch.optim.AdamW(found.parameters(), lr=RATE, weight_decay=0.0)
    torch.manual_seed(0)
    for epoch in range(EPOCHS):
        losses = []
        for chosen in torch.randperm(len(train)).split(BATCH):
            outputs = zip(found(train[chosen]), targets, strict=True)
            loss = torch.stack([error(own, target[chosen]) for own, target in outputs]).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                for layer, mask in masks:
                    layer.weight.mul_(mask)
            losses.append(loss.item())
        say(f"epoch {epoch + 1}/{EPOCHS}: loss {np.mean(losses):.4f}")
    return found


def written(student: Student, features: Tensor, folder: Path) -> None:
    """The INT8 files and the float .tflite of a student."""
    folder.mkdir()
    with divert_output(folder / "converters.log"):
        prepared = Prepared.of(student, features, SchemeConfig(), CalibrationConfig())
        grids = (prepared.scheme, prepared.sites, prepared.ranges)
        plain = litert.convert(NamedFeatures(student), "features", features[:1])
        graph = executorch.quantise(student, features, prepared.scheme, prepared.ranges)
        contents = (
            executorch.lower(graph, forward=features[:1]).program,
            litert.quantise(plain, "features", features.numpy(), *grids),
            plain,
        )
    for name, content in zip(FILES, contents, strict=True):
        (folder / name).write_bytes(content)


def timed(folders: dict[str, Path], file: str, clip: NDArray[np.float32]) -> dict[str, list[float]]:
    """Milliseconds of one clip, each variant in turn."""
    runners = {name: open_runner(folder / file) for name, folder in folders.items()}
    found: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(ROUNDS):
        for name, runner in runners.items():
            for run in range(WARM_UP + RUNS):
                start = time.perf_counter()
                runner.run(clip)
                if run >= WARM_UP:
                    found[name].append(round(1000 * (time.perf_counter() - start), 4))
    return found


def told(student: Student, folder: Path, lessons: Lessons) -> dict[str, Any]:
    """Zeros, sizes and scores of one variant."""
    weights = [layer.weight for layer in pointwise(student)]
    count = sum(parameter.numel() for parameter in student.parameters())
    contents = {name: (folder / name).read_bytes() for name in FILES}
    logits = open_runner(folder / "model.tflite").run(lessons.val.numpy()).logits
    return {
        "share_of_weights_that_may_be_zero": sum(weight.numel() for weight in weights) / count,
        "share_of_these_that_is_zero": float(torch.cat([w.flatten() for w in weights]).eq(0).float().mean()),
        "bytes": {name: len(content) for name, content in contents.items()},
        "deflated_bytes": {name: len(zlib.compress(content, 9)) for name, content in contents.items()},
        "validation_auroc_int8": lessons.score(logits),
    }


def main(folder: Path, student_folder: Path) -> None:
    """Prune, train, convert, and measure."""
    dataset = Dataset.open(make(BuildConfig(), folder, Path(".acula-edge"), ArtifactKind.DATASET))
    student = load_student(Artifact.open(student_folder, ArtifactKind.STUDENT))
    lessons = lessons_of(dataset)
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as place:
        folders = {name: Path(place) / str(index) for index, name in enumerate(MASKS)}
        for name, mask_of in MASKS.items():
            say(name)
            found = student if mask_of is None else pruned(student, mask_of, lessons.train)
            written(found, lessons.train[:CALIBRATION].contiguous(), folders[name])
            results[name] = told(found, folders[name], lessons)
        times = {file: timed(folders, file, lessons.val[:1].numpy()) for file in FILES}
    for name, result in results.items():
        result["ms"] = {file: times[file][name] for file in FILES}
        medians = {file: round(float(np.median(result["ms"][file])), 3) for file in FILES}
        say(f"{name}: {medians} ms, {result['deflated_bytes']}, {result['validation_auroc_int8']}")
    write_json(RESULT, {"variants": results, "threads": 1, "environment": environment()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
