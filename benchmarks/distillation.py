"""How many clips a second does distillation train on? Ours against a plain PyTorch loop, and the whole stage.

    python benchmarks/distillation.py FOLDER TEACHER

TEACHER is a folder that `acula-edge teacher train --data FOLDER` wrote. The plain loop is a Dataset and a
DataLoader: each step computes the features of its clips and augments them one by one, with the teacher's
answers in RAM and PyTorch's own memory layout. Ours reads features from memory-mapped views, augments a
batch at once, lays the network out channels last, and averages its weights besides. All train the same
student by the same terms of the loss on batches of the same size; the first steps are not timed. Each run
is a fresh process, the systems taking turns, so that what else the machine does falls on all of them. The
stage is timed whole, views and validation included, on the simulated recordings of `acula-edge build`
without data. The result, with every sample, goes to benchmarks/results/distillation.json.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from acula_edge.artifact import Artifact, ArtifactKind, write_json
from acula_edge.bench.memory import peak_resident_bytes
from acula_edge.build import BuildConfig, make
from acula_edge.contract import AudioContract
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.tasks import Task
from acula_edge.environment import environment
from acula_edge.frontend import log_mel
from acula_edge.progress import say
from acula_edge.students.student import Student
from distill.augment_config import AugmentConfig
from distill.batches import Batch
from distill.config import DistillConfig
from distill.model import Heard, Terms
from distill.stage import DistillInputs
from distill.stage import run as run_stage
from distill.text_space import Texts, learn_texts
from distill.training import train
from distill.views import Views, make_views

RESULT = Path(__file__).parent / "results" / "distillation.json"
WORK = Path(".acula-edge")
CONFIG = DistillConfig(epochs=1, augment=AugmentConfig(views=1))
STEPS, WARM_UP, ROUNDS, STAGE_ROUNDS, THREADS = 24, 4, 5, 3, 2
N = STEPS * CONFIG.batch_size
GOAL_S = 90.0
SYSTEMS = {
    "plain": "features and augmentation clip by clip at each step, contiguous memory",
    "cached": "features in RAM, augmentation clip by clip, contiguous memory",
    "ours": "memory-mapped views, batch augmentation, channels last, average of the weights",
}
LIMITATIONS = (
    "Where load_average stands above the number of cores, other work ran too: clips/s are then lower than "
    "the machine's, and the ratio of systems that took turns is what can be read.",
    "Views are made once and are not in the clips/s of `ours`; the time of the stage holds them.",
)


@dataclass(frozen=True)
class Material:
    """The same clips for every system: PCM (N, clip_samples) for the plain loop, views for ours."""

    contract: AudioContract
    tasks: tuple[Task, ...]
    pcm: np.ndarray
    views: Views
    texts: Texts


class ClipByClip(TorchDataset[tuple[Tensor, ...]]):
    """What one writes first: item by item, with the teacher's answers in RAM."""

    def __init__(self, material: Material, cached: bool) -> None:
        views, self._contract, self._pcm = material.views, material.contract, material.pcm
        embedding, own = np.asarray(views.embedding), material.texts.own
        self._answers = [
            torch.from_numpy((embedding - embedding.mean(0)) / embedding.std(0)),
            torch.from_numpy(np.array(views.logits)),
            torch.from_numpy(material.texts.space.reduce(views.aligned)),
            torch.from_numpy(np.array(views.labels)),
            torch.tensor([own.get(views.recordings[index].id, -1) for index in views.owner]),
            torch.tensor(
                [
                    [views.recordings[index].dataset == task.dataset for task in material.tasks]
                    for index in views.owner
                ]
            ),
        ]
        self._std = torch.tensor(material.contract.normalisation.std)  # type: ignore[union-attr]
        self._features = views.features.astype(np.float32) if cached else None

    def __len__(self) -> int:
        return len(self._answers[0])

    def __getitem__(self, row: int) -> tuple[Tensor, ...]:
        own = self._features[row] if self._features is not None else self._heard(row)
        features = self._augmented(torch.from_numpy(own))
        return features[None], *(part[row] for part in self._answers)

    def _heard(self, row: int) -> np.ndarray:
        return np.ascontiguousarray(log_mel(self._pcm[row][None], self._contract)[0])

    def _augmented(self, features: Tensor) -> Tensor:
        """Gain, roll and two masks, as `augment_spectrogram` has them, of one clip."""
        noise = CONFIG.augment.spectrogram
        gain = float(torch.empty(()).uniform_(-noise.gain_db, noise.gain_db))
        clip = features + gain * math.log(10.0) / 10.0 / self._std[:, None]
        clip = torch.roll(clip, int(torch.randint(clip.shape[1], ())), dims=1)
        for dim, widest in enumerate((noise.mel_mask, noise.frame_mask)):
            width = int(torch.randint(widest + 1, ()))
            start = int(torch.randint(clip.shape[dim] - width + 1, ()))
            clip.narrow(dim, start, width).zero_()
        return clip


def plain_steps(material: Material, cached: bool) -> list[float]:
    """Seconds at the end of each step of the plain loop, by the terms of the default loss."""
    contract, tasks = material.contract, material.tasks
    n_logits = sum(task.n_logits for task in tasks)
    student = Student(CONFIG.student, contract.n_mels, contract.n_frames, n_logits)
    projector = torch.nn.Linear(CONFIG.student.embedding_dim, material.views.embedding.shape[1])
    reports = torch.from_numpy(material.texts.reports)
    parameters = [*student.parameters(), *projector.parameters()]
    optimiser = torch.optim.AdamW(parameters, CONFIG.learning_rate, weight_decay=CONFIG.weight_decay)
    terms, ends = Terms(tasks, CONFIG), []
    loader: Iterable[Any] = DataLoader(ClipByClip(material, cached), CONFIG.batch_size, shuffle=True)
    for parts in loader:
        optimiser.zero_grad()
        embedding, logits = student(parts[0])
        heard = Heard(Batch(*parts), embedding, projector(embedding), logits)
        torch.stack(list(terms.of(heard, reports).values())).sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, CONFIG.clip_norm)
        optimiser.step()
        ends.append(time.perf_counter())
    return ends


def our_steps(material: Material, scratch: Path) -> list[float]:
    """Seconds at the end of each step of the product's own training."""
    ends: list[float] = []
    few = _head(material.views, CONFIG.batch_size)
    train(
        CONFIG,
        material.tasks,
        material.contract,
        material.views,
        few,
        material.texts,
        scratch / "student.safetensors",
        log=lambda part, _value, _step: ends.append(time.perf_counter()) if part == "rate" else None,
    )
    return ends


def _head(views: Views, n: int) -> Views:
    """The first n rows."""
    arrays = ("features", "embedding", "logits", "aligned", "labels", "owner", "clip", "view")
    recordings = views.recordings[: int(views.owner[n - 1]) + 1]
    return replace(views, recordings=recordings, **{name: getattr(views, name)[:n] for name in arrays})


def _material(folder: Path, teacher: Path) -> Material:
    dataset = Dataset.open(make(BuildConfig(), folder, WORK, ArtifactKind.DATASET))
    source = Artifact.open(teacher, ArtifactKind.TEACHER)
    recordings = dataset.of(Split.TRAIN)
    views = make_views(dataset, source, recordings, CONFIG.augment, WORK / "views", "views train")
    texts = learn_texts(source, recordings, CONFIG.student.embedding_dim)
    rows = _head(views, N)
    pcm = np.concatenate([dataset.clips(item) for item in rows.recordings])[:N]
    return Material(dataset.contract, dataset.tasks, pcm, rows, texts)


def measure(name: str, folder: Path, teacher: Path, out: Path) -> None:
    """One run of one system here; writes its steps' seconds and its memory."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    material = _material(folder, teacher)
    before_bytes = peak_resident_bytes()
    with tempfile.TemporaryDirectory() as scratch:
        ends = (
            our_steps(material, Path(scratch)) if name == "ours" else plain_steps(material, name == "cached")
        )
    assert len(ends) == STEPS
    peak_bytes = peak_resident_bytes()
    step_s = np.diff(ends)[WARM_UP - 1 :].tolist()
    write_json(out, {"step_s": step_s, "added_mib": (peak_bytes - before_bytes) / 2**20})


def measure_stage(work: Path, out: Path) -> None:
    """One run of the whole stage here, on the teacher and dataset of `work`, with nothing cached."""
    torch.set_num_threads(THREADS)
    kinds = (ArtifactKind.TEACHER, ArtifactKind.DATASET)
    inputs = [Artifact.open(next(work.glob(f"{kind}-*")), kind) for kind in kinds]
    folder = out.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    start = time.perf_counter()
    student = run_stage(DistillConfig(), DistillInputs(*inputs), folder / "student")
    found = student.read_json("distill.json")
    facts = {name: found[name] for name in ("train_clips", "train_views", "validation")}
    write_json(out, {"seconds": time.perf_counter() - start, "epochs": len(found["history"]), **facts})


def _fresh(*arguments: object) -> None:
    environ = {**os.environ, "OMP_NUM_THREADS": str(THREADS), "OMP_WAIT_POLICY": "PASSIVE"}
    subprocess.run([sys.executable, __file__, *map(str, arguments)], check=True, env=environ)


def _loops(folder: Path, teacher: Path, scratch: Path) -> dict[str, Any]:
    """Every system in turn, ROUNDS times; the ratio to the plain loop within each turn."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in SYSTEMS}
    for turn in range(ROUNDS):
        for name in SYSTEMS:
            say(f"round {turn + 1}/{ROUNDS}: {name}")
            _fresh("--measure", name, folder, teacher, scratch / "run.json")
            runs[name].append(json.loads((scratch / "run.json").read_text(encoding="utf-8")))
    batch = CONFIG.batch_size
    rate = {name: [batch / float(np.median(run["step_s"])) for run in own] for name, own in runs.items()}
    return {
        "systems": {
            name: {"facts": SYSTEMS[name], **_spread(rate[name]), "runs": own} for name, own in runs.items()
        },
        "ratios_to_plain": {
            name: _spread([own / plain for own, plain in zip(rate[name], rate["plain"], strict=True)])
            for name in SYSTEMS
            if name != "plain"
        },
    }


def _stage(scratch: Path) -> dict[str, Any]:
    work = scratch / "work"
    make(BuildConfig(), None, work, ArtifactKind.TEACHER)
    runs = []
    for turn in range(STAGE_ROUNDS):
        say(f"stage {turn + 1}/{STAGE_ROUNDS}")
        _fresh("--stage", work, scratch / "stage.json")
        runs.append(json.loads((scratch / "stage.json").read_text(encoding="utf-8")))
    return {"goal_s": GOAL_S, **_spread([run["seconds"] for run in runs]), "runs": runs}


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": float(np.median(values)), "least": min(values), "most": max(values)}


def main(folder: Path, teacher: Path) -> None:
    """Measure everything and write the result."""
    load_before = os.getloadavg()
    _material(folder, teacher)  # once, so that no run makes the views
    with tempfile.TemporaryDirectory() as scratch:
        loops = _loops(folder, teacher, Path(scratch))
        stage = _stage(Path(scratch))
    about = {"student": "small", "clips": N, "batch_size": CONFIG.batch_size, "threads": THREADS}
    load = {"before": load_before, "after": os.getloadavg()}
    found = {**about, **loops, "stage": stage, "load_average": load}
    protocol = (__doc__ or "").split("\n\n")[2]
    write_json(
        RESULT, {"protocol": protocol, **found, "limitations": LIMITATIONS, "environment": environment()}
    )
    for name, system in loops["systems"].items():
        print(f"{name:8} {system['median']:7.1f} clips/s ({system['least']:.1f} to {system['most']:.1f})")
    for name, ratio in loops["ratios_to_plain"].items():
        print(f"{name:8} {ratio['median']:7.2f} times plain ({ratio['least']:.2f} to {ratio['most']:.2f})")
    spread = f"({stage['least']:.1f} to {stage['most']:.1f})"
    print(f"stage    {stage['median']:7.1f} s {spread}, goal {GOAL_S:.0f} s")


if __name__ == "__main__":
    if sys.argv[1] == "--measure":
        measure(sys.argv[2], *map(Path, sys.argv[3:]))
    elif sys.argv[1] == "--stage":
        measure_stage(*map(Path, sys.argv[2:]))
    else:
        main(*map(Path, sys.argv[1:]))
