"""What does alignment do on the reference protocol? The encoder is aligned anew within each fold.

    python benchmarks/reference_aligned.py FOLDER ENCODER [LESSON ...]

The protocol is that of reference_points.py, with one difference: before the regression of a fold, the
encoder is aligned to the reports of the recordings outside that fold, none of whose patients (of PhysioNet
2016: source databases) stands in it. An eighth of the patients outside picks the epoch. LESSON is
`reports`, or a control such as `shuffled`; both are run if none is named. The recipe is the one that
sweep.py uses; nothing is chosen here. Results go to benchmarks/results/reference_aligned.json; what is
there already is not run again.
"""

from __future__ import annotations

import copy
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reference_points import FOLDS, TASKS, chunks, folds_of, regression
from sweep import RECIPES, folds_by_patient

from acula_edge.artifact import write_json
from acula_edge.data.config import DataConfig
from acula_edge.data.dataset import Dataset
from acula_edge.data.metrics import auroc
from acula_edge.data.recording import Recording, Split
from acula_edge.data.stage import DataInputs, run
from acula_edge.determinism import be_deterministic
from acula_edge.encoders.protocol import AudioEncoder
from acula_edge.encoders.registry import pretrained
from acula_edge.environment import environment
from acula_edge.progress import say, track
from acula_edge.teacher.align import AlignmentModel, align
from acula_edge.teacher.config import TeacherConfig
from acula_edge.teacher.lessons import Told, teach
from acula_edge.teacher.pairs import Pairs
from acula_edge.teacher.texts import embed_reports, wordings_of

RESULT = Path(__file__).parent / "results" / "reference_aligned.json"
LESSONS = ("reports", "shuffled")


@dataclass(frozen=True)
class Heard:
    """All recordings, what the frozen trunk makes of each one's pieces, and the fold that holds it out.

    `fold` is -1 for a recording that no fold scores.
    """

    recordings: tuple[Recording, ...]
    pieces: tuple[tuple[np.ndarray, ...], ...]
    rate_hz: float
    fold: np.ndarray

    def embed(self, encoder: AudioEncoder) -> np.ndarray:
        """(n, dim): mean and standard deviation of all frames of each recording."""
        encoder.eval()
        with torch.no_grad():
            return np.stack([self._embed(encoder, row) for row in range(len(self.recordings))])

    def _embed(self, encoder: AudioEncoder, row: int) -> np.ndarray:
        frames = [encoder.top(torch.from_numpy(piece).float()[None]) for piece in self.pieces[row]]
        return encoder.pool(torch.cat(frames, dim=1))[0].numpy()


def hear(dataset: Dataset, encoder: AudioEncoder) -> Heard:
    """Run the frozen trunk once over everything."""
    recordings = dataset.of(*Split)
    pieces, seconds, frames = [], 0.0, 0
    with torch.no_grad():
        for recording in track(recordings, len(recordings), "trunk"):
            waves = chunks(encoder, dataset, recording)
            pieces.append(tuple(encoder.trunk(wave)[0].half().numpy() for wave in waves))
            seconds += sum(wave.shape[1] for wave in waves) / encoder.input_rate_hz
            frames += sum(len(piece) for piece in pieces[-1])
    return Heard(tuple(recordings), tuple(pieces), frames / seconds, _folds(recordings))


def _folds(recordings: tuple[Recording, ...]) -> np.ndarray:
    """The protocol's folds of all tasks at once: their data sets differ, so that no patient has two."""
    fold = np.full(len(recordings), -1)
    for task in TASKS:
        rows = np.flatnonzero([task in item.labels for item in recordings])
        for number, (_, scored) in enumerate(folds_of([recordings[row] for row in rows], task)):
            fold[rows[scored]] = number
    return fold


def score(heard: Heard, base: AudioEncoder, config: TeacherConfig) -> dict[str, float]:
    """Pooled out-of-fold AUROC of each task."""
    scores = np.full(len(heard.recordings), np.nan)
    for number in range(FOLDS):
        held = np.flatnonzero(heard.fold == number)
        vectors = heard.embed(_aligned(heard, base, config, _outside(heard.recordings, held)))
        for task in TASKS:
            rows = np.flatnonzero([task in item.labels for item in heard.recordings])
            labels = np.array([heard.recordings[row].labels[task] for row in rows])
            inside = heard.fold[rows] == number
            if inside.any():
                model = regression().fit(vectors[rows[~inside]], labels[~inside])
                scores[rows[inside]] = model.decision_function(vectors[rows[inside]])
    return {task: _auroc(heard.recordings, scores, task) for task in TASKS}


def _auroc(recordings: tuple[Recording, ...], scores: np.ndarray, task: str) -> float:
    rows = np.flatnonzero([task in item.labels for item in recordings])
    labels = np.array([recordings[row].labels[task] for row in rows])
    return round(auroc(scores[rows], labels == 1), 3)


def _outside(recordings: tuple[Recording, ...], held: np.ndarray) -> np.ndarray:
    """Rows that share no patient, nor source database, with the held-out ones."""
    unseen = {_source(recordings[row]) for row in held}
    return np.flatnonzero([_source(item) not in unseen for item in recordings])


def _source(item: Recording) -> str:
    return f"{item.dataset} {item.metadata.get('p2016_db') or item.patient}"


def _aligned(heard: Heard, base: AudioEncoder, config: TeacherConfig, rows: np.ndarray) -> AudioEncoder:
    recordings = [heard.recordings[row] for row in rows]
    wordings = wordings_of(recordings, config.surface_forms)
    texts = embed_reports(config, recordings, wordings)
    held = folds_by_patient([_source(item) for item in recordings], 8) == 0
    told = [_told(heard, rows, wordings, texts, np.flatnonzero(part)) for part in (~held, held)]
    pairs = teach(config.teaches, told[0], told[1], config.seed)
    torch.manual_seed(config.seed)
    model = AlignmentModel(copy.deepcopy(base), texts.shape[-1], config)
    with tempfile.TemporaryDirectory() as scratch:
        align(model, *pairs, config, Path(scratch), "align")
    return model.encoder


def _told(
    heard: Heard, rows: np.ndarray, wordings: tuple[tuple[str, ...], ...], texts: np.ndarray, part: np.ndarray
) -> Told:
    return Told(
        Pairs(
            tuple(np.concatenate(heard.pieces[row]) for row in rows[part]),
            texts[part],
            np.array([bool(wordings[row][0]) for row in part]),
            tuple(heard.recordings[row].dataset for row in rows[part]),
            heard.rate_hz,
        ),
        tuple(wordings[row] for row in part),
    )


def main(folder: Path, encoder: str, lessons: tuple[str, ...]) -> None:
    """Run what is not in the results file yet."""
    be_deterministic()
    found: dict[str, Any] = json.loads(RESULT.read_text())["auroc"] if RESULT.is_file() else {}
    with tempfile.TemporaryDirectory() as scratch:
        dataset = Dataset.open(run(DataConfig(), DataInputs(folder), Path(scratch) / "dataset"))
        base = pretrained(encoder, dataset.contract, 0)
        heard = hear(dataset, base)
    own = found.setdefault(encoder, {})
    for lesson in lessons:
        if lesson not in own:
            values = {"encoder": encoder, **RECIPES[encoder], "teaches": lesson}
            own[lesson] = score(heard, base, TeacherConfig.model_validate(values))
            say(f"{encoder}, {lesson}: mean {np.mean(list(own[lesson].values())):.3f} {own[lesson]}")
            protocol = (__doc__ or "").split("\n\n")[2]
            write_json(RESULT, {"protocol": protocol, "auroc": found, "environment": environment()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], tuple(sys.argv[3:]) or LESSONS)
