"""Which encoder, language model, loss and controls? Patient-grouped 3-fold on train and validation.

    python benchmarks/sweep.py FOLDER ENCODER [ROW ...]

Every row of SWEEP, or each ROW named, is a change to the default recipe for ENCODER. The test split is
never opened. In each fold two thirds of the patients are trained on (an eighth of them picks the epoch
and the probe's strength) and the others are scored by the closed-form probe, at most two clips a
recording. A row's value is the mean over tasks and folds of the AUROC; with three folds of few
patients, differences below .01 are noise. PhysioNet 2016 is left out: its training split is one source.
Rows that are in benchmarks/results/sweep_ENCODER.json already are not run again.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acula_edge.artifact import ArtifactKind, write_json
from acula_edge.build import BuildConfig, make
from acula_edge.data.dataset import Dataset
from acula_edge.data.metrics import logit_slices, task_score
from acula_edge.data.recording import Split
from acula_edge.determinism import be_deterministic
from acula_edge.encoders.protocol import AudioEncoder
from acula_edge.encoders.registry import pretrained
from acula_edge.environment import environment
from acula_edge.progress import say
from acula_edge.teacher.align import AlignmentModel, align
from acula_edge.teacher.config import TeacherConfig, Tuning
from acula_edge.teacher.hearing import hear_trunk, hear_waveforms
from acula_edge.teacher.lessons import Told, teach
from acula_edge.teacher.pairs import Pairs
from acula_edge.teacher.probe import Embedded, fit_probe
from acula_edge.teacher.texts import embed_reports, wordings_of

RESULTS = Path(__file__).parent / "results"
WORK = Path(".acula-edge")
FOLDS = 3
_CLIPS = 2
_BATCH = 16

# The recipe that a row changes: what the encoder needs beside the defaults.
RECIPES: dict[str, dict[str, Any]] = {
    "openwakeword": {},
    "whisper-base-3": {"encoder_rate": 0.03},
    "whisper-base": {"encoder_rate": 0.03},
}
SWEEP: dict[str, dict[str, Any]] = {
    "default": {},
    "shuffled reports": {"teaches": "shuffled"},
    "SSL only": {"teaches": "ssl_only"},
    "bag of words": {"teaches": "bag_of_words"},
    "constant report": {"teaches": "constant"},
    "four wordings": {"surface_forms": 4},
    "without SSL": {"ssl_weight": 0.0},
    "InfoNCE": {"alignment": "infonce"},
    "SigLIP": {"alignment": "siglip"},
    "unbiased CKA": {"alignment": "cka_unbiased"},
    "released loss": {"alignment": "released"},
    "SmolLM2": {"language": "smollm2"},
    "10 epochs": {"epochs": 10},
    "three times the rate": {"encoder_rate_factor": 3.0},
    "every layer": {"tuning": "full"},
    "every layer, low rank": {"tuning": "lora"},
    "SigLIP, shuffled reports": {"alignment": "siglip", "teaches": "shuffled"},
    "SigLIP, bag of words": {"alignment": "siglip", "teaches": "bag_of_words"},
    "SigLIP, four wordings": {"alignment": "siglip", "surface_forms": 4},
    "SigLIP, 10 epochs": {"alignment": "siglip", "epochs": 10},
    "SigLIP, three times the rate": {"alignment": "siglip", "encoder_rate_factor": 3.0},
    "SSL weight .1": {"ssl_weight": 0.1},
    "SSL weight .1, shuffled reports": {"ssl_weight": 0.1, "teaches": "shuffled"},
    "SSL weight .1, bag of words": {"ssl_weight": 0.1, "teaches": "bag_of_words"},
    "SSL weight .1, 10 epochs": {"ssl_weight": 0.1, "epochs": 10},
    "SSL weight .3": {"ssl_weight": 0.3},
    "SigLIP, SSL weight .1": {"alignment": "siglip", "ssl_weight": 0.1},
    "SigLIP, SSL weight .1, shuffled reports": {
        "alignment": "siglip",
        "ssl_weight": 0.1,
        "teaches": "shuffled",
    },
    "SigLIP, SSL weight .1, three times the rate": {
        "alignment": "siglip",
        "ssl_weight": 0.1,
        "encoder_rate_factor": 3.0,
    },
    "InfoNCE, SSL weight .1, 10 epochs": {"alignment": "infonce", "ssl_weight": 0.1, "epochs": 10},
    "SigLIP, SmolLM2": {"alignment": "siglip", "language": "smollm2"},
}


@dataclass(frozen=True)
class Bench:
    """The recordings of train and validation (n), what is trained on, and their fold (n,).

    `inputs` are waveforms or trunk features, `clip_frames` of them a clip.
    """

    dataset: Dataset
    base: AudioEncoder
    inputs: tuple[np.ndarray, ...]
    clip_frames: int
    rate_hz: float
    fold: np.ndarray


def open_bench(folder: Path, encoder: str, tuning: Tuning) -> Bench:
    """Decode, split and hear everything once; trunk features are kept in the work folder."""
    dataset = Dataset.open(make(BuildConfig(), folder, WORK, ArtifactKind.DATASET))
    base = pretrained(encoder, dataset.contract, 0)
    recordings = [*dataset.of(Split.TRAIN), *dataset.of(Split.VAL)]
    if tuning is Tuning.TOP:
        hearing = hear_trunk(dataset, recordings, base, WORK / f"sweep-{encoder}")
    else:
        hearing = hear_waveforms(dataset, recordings, base)
    seconds = dataset.contract.clip_samples / dataset.contract.sample_rate_hz
    frames = round(hearing.rate_hz * seconds)
    groups = [f"{item.dataset} {item.group}" for item in recordings]
    return Bench(dataset, base, hearing.inputs, frames, hearing.rate_hz, folds_by_patient(groups, FOLDS))


def folds_by_patient(groups: list[str], n_folds: int) -> np.ndarray:
    """Fold of each row (n,); `groups` are "dataset patient", and each data set is spread over all folds."""
    names, inverse = np.unique(groups, return_inverse=True)
    of_name = np.empty(len(names), dtype=int)
    for dataset in sorted({name.split(" ")[0] for name in names}):
        rows = np.flatnonzero([name.split(" ")[0] == dataset for name in names])
        of_name[np.random.default_rng(0).permutation(rows)] = np.arange(len(rows)) % n_folds
    return of_name[inverse]


def score(bench: Bench, config: TeacherConfig | None) -> dict[str, list[float]]:
    """AUROC of each task in each fold that can score it; without a config, of the base encoder."""
    recordings = [*bench.dataset.of(Split.TRAIN), *bench.dataset.of(Split.VAL)]
    groups = [f"{item.dataset} {item.group}" for item in recordings]
    found: dict[str, list[float]] = {task.name: [] for task in bench.dataset.tasks}
    fixed = _embed(bench, bench.base) if config is None else None
    for fold in range(FOLDS):
        outside = np.flatnonzero(bench.fold != fold)
        inner = folds_by_patient([groups[row] for row in outside], 8)
        train, val, held = outside[inner > 0], outside[inner == 0], np.flatnonzero(bench.fold == fold)
        vectors = fixed if config is None else _embed(bench, _train(bench, config, train, val))
        parts = [Embedded([recordings[row] for row in rows], vectors[rows]) for rows in (train, val, held)]
        tasks = tuple(task for task in bench.dataset.tasks if len(set(parts[0].of_task(task)[1])) > 1)
        probe = fit_probe(tasks, parts[0], parts[1])
        for task in tasks:
            x, labels = parts[2].of_task(task)
            part = logit_slices(tasks)[task.name]
            value = task_score(task, x @ probe.weight[part].T + probe.bias[part], labels)
            found[task.name] += [] if np.isnan(value) else [value]
    return found


def _train(bench: Bench, config: TeacherConfig, train: np.ndarray, val: np.ndarray) -> AudioEncoder:
    recordings = [*bench.dataset.of(Split.TRAIN), *bench.dataset.of(Split.VAL)]
    told = []
    wordings = wordings_of(recordings, config.surface_forms)
    texts = embed_reports(config, recordings, wordings)
    for rows in (train, val):
        paired = np.array([bool(wordings[row][0]) for row in rows])
        sources = tuple(recordings[row].dataset for row in rows)
        inputs = tuple(bench.inputs[row] for row in rows)
        pairs = Pairs(inputs, texts[rows], paired, sources, bench.rate_hz)
        told.append(Told(pairs, tuple(wordings[row] for row in rows)))
    pairs_of = teach(config.teaches, told[0], told[1], config.seed)
    torch.manual_seed(config.seed)
    model = AlignmentModel(copy.deepcopy(bench.base), pairs_of[0].texts.shape[-1], config)
    scratch = WORK / "sweep-scratch" / config.encoder
    for stale in scratch.glob("*.safetensors"):
        stale.unlink()
    align(model, *pairs_of, config, scratch, "sweep")
    return model.encoder


@torch.no_grad()
def _embed(bench: Bench, encoder: AudioEncoder) -> np.ndarray:
    """(n, dim): the mean over at most two clips of each recording."""
    encoder.eval()
    clips, owner = [], []
    for row, heard in enumerate(bench.inputs):
        for start in range(0, max(1, min(len(heard), _CLIPS * bench.clip_frames)), bench.clip_frames):
            clips.append(_clip(heard, start, bench.clip_frames))
            owner.append(row)
    parts = []
    for first in range(0, len(clips), _BATCH):
        batch = torch.from_numpy(np.stack(clips[first : first + _BATCH]))
        waveforms = batch.dtype is torch.int16
        hidden = encoder.trunk(batch.float() / 32768) if waveforms else batch.float()
        parts.append(encoder.pool(encoder.top(hidden)).numpy())
    total = np.zeros((len(bench.inputs), parts[0].shape[1]))
    np.add.at(total, owner, np.concatenate(parts))
    return (total / np.bincount(owner)[:, None]).astype(np.float32)


def _clip(heard: np.ndarray, start: int, length: int) -> np.ndarray:
    """A clip (length, ...) from `start` on; what is shorter is repeated."""
    clip = heard[start : start + length]
    return clip if len(clip) == length else np.concatenate([clip] * -(-length // len(clip)))[:length]


def rows_to_run(encoder: str, chosen: list[str]) -> Iterator[tuple[str, TeacherConfig | None]]:
    """The base encoder first, then the chosen rows of the sweep, or all."""
    yield "base", None
    for name in chosen or SWEEP:
        change = SWEEP[name]
        values = {"encoder": encoder, **RECIPES[encoder], **change}
        factor = values.pop("encoder_rate_factor", 1.0)
        config = TeacherConfig.model_validate(values)
        yield name, config.model_copy(update={"encoder_rate": min(1.0, factor * config.encoder_rate)})


def main(folder: Path, encoder: str, chosen: list[str]) -> None:
    """Run what is not in the results file yet, row by row."""
    be_deterministic()
    result = RESULTS / f"sweep_{encoder}.json"
    rows: list[dict[str, Any]] = json.loads(result.read_text())["rows"] if result.is_file() else []
    done = {row["name"] for row in rows}
    benches: dict[Tuning, Bench] = {}
    for name, config in rows_to_run(encoder, chosen):
        if name in done:
            continue
        start = time.perf_counter()
        tuning = config.tuning if config else Tuning.TOP
        if tuning not in benches:
            benches = {tuning: open_bench(folder, encoder, tuning)}  # one at a time in memory
        bench = benches[tuning]
        found = {task: values for task, values in score(bench, config).items() if values}
        mean = float(np.mean([np.mean(values) for values in found.values()]))
        rows.append(
            {
                "name": name,
                "mean": round(mean, 4),
                "tasks": {task: [round(value, 4) for value in values] for task, values in found.items()},
                "config": config.model_dump(mode="json") if config else None,
            }
        )
        say(f"{encoder}, {name}: {mean:.4f} in {time.perf_counter() - start:.0f} s")
        write_json(result, {"encoder": encoder, "folds": FOLDS, "rows": rows, "environment": environment()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
