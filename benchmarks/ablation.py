"""Which terms of the distillation loss are worth it? Trained on train, scored on validation.

    python benchmarks/ablation.py FOLDER TEACHER [ROW ...]

TEACHER is a folder that `acula-edge teacher train --data FOLDER` wrote. Every row of ROWS, or each ROW
named, is a loss or an augmentation for the same student, trained for the same number of epochs from SEEDS.
The test split is never opened. A row's score is the mean over tasks and seeds of the AUROC on the validation
patients, by the task heads and, without any label, by the text prototypes; by the heads it is the mean
of the last epochs, so that no epoch is chosen. Neither student nor teacher has learned from a validation
patient: a cross-validation within the teacher's own patients would favour the terms that ask it. `cosine`
is how near the student comes to the teacher's place in the space shared with text. Rows that are in
the result already are not run again.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from acula_edge.artifact import Artifact, ArtifactKind, write_json
from acula_edge.build import BuildConfig, make
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.environment import environment
from acula_edge.progress import say
from distill.augment_config import AugmentConfig, SpectrogramConfig
from distill.config import DistillConfig, LossWeights
from distill.scoring import answers
from distill.text_space import Texts, learn_texts
from distill.training import train
from distill.views import Views, make_views

RESULTS = Path(__file__).parent / "results"
WORK = Path(".acula-edge")
STUDENT = "tiny"
EPOCHS = 20
LAST = 5
SEEDS = (0, 1)


def _beside_labels(**weights: float) -> dict[str, Any]:
    return {"weights": LossWeights.only(labels=1.0, **weights)}


_QUIET = SpectrogramConfig(gain_db=0.0, mel_mask=0, frame_mask=0)
ROWS: dict[str, dict[str, Any]] = {
    "labels alone": _beside_labels(),
    "labels + own reports, no teacher": _beside_labels(reports=0.3),
    "labels + logits": _beside_labels(logits=0.5),
    "labels + light logits": _beside_labels(logits=0.1),
    "labels + semantic": _beside_labels(semantic=1.0),
    "labels + light semantic": _beside_labels(semantic=0.1),
    "labels + embedding": _beside_labels(embedding=0.3),
    "labels + cosine": _beside_labels(cosine=0.3),
    "labels + distance": _beside_labels(distance=1.0),
    "labels + angle": _beside_labels(angle=1.0),
    "labels + Gram": _beside_labels(gram=0.3),
    "labels + contrastive": _beside_labels(contrastive=0.1),
    "labels + logits + semantic": _beside_labels(logits=0.5, semantic=1.0),
    "labels + own reports + logits": _beside_labels(reports=0.3, logits=0.5),
    "labels + own reports + light semantic": _beside_labels(reports=0.3, semantic=0.1),
    "labels + own reports + contrastive": _beside_labels(reports=0.3, contrastive=0.1),
    "labels + own reports + Gram": _beside_labels(reports=0.3, gram=0.3),
    "labels + own reports, no spectrogram noise": _beside_labels(reports=0.3)
    | {"augment": AugmentConfig(spectrogram=_QUIET)},
    "labels + own reports, no average of weights": _beside_labels(reports=0.3) | {"ema_decay": 0.0},
}


def score(dataset: Dataset, train_views: Views, val: Views, texts: Texts, config: DistillConfig) -> Any:
    """AUROC of heads and text over SEEDS, and the mean cosine to the teacher."""
    heads, zero_shot, cosines = [], [], []
    for seed in SEEDS:
        own = config.model_copy(update={"seed": seed})
        with tempfile.TemporaryDirectory() as scratch:
            checkpoint = Path(scratch) / "student.safetensors"
            trained = train(own, dataset.tasks, dataset.contract, train_views, val, texts, checkpoint)
        heads.append(float(np.mean([record.score for record in trained.history[-LAST:]])))
        zero_shot.append(float(np.mean(list(trained.scores.zero_shot.values()))))
        embedding = answers(trained.student, val)[0]
        embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
        cosines.append(float((embedding * texts.space.reduce(val.aligned)).sum(axis=1).mean()))
    return {
        name: [round(value, 4) for value in values]
        for name, values in (("heads", heads), ("zero_shot", zero_shot), ("cosine", cosines))
    }


def main(folder: Path, teacher: Path, chosen: list[str]) -> None:
    """Run what is not in the results file yet, row by row."""
    source = Artifact.open(teacher, ArtifactKind.TEACHER)
    result = RESULTS / f"ablation_{source.manifest.config['encoder']}.json"
    rows: list[dict[str, Any]] = json.loads(result.read_text())["rows"] if result.is_file() else []
    dataset = Dataset.open(make(BuildConfig(), folder, WORK, ArtifactKind.DATASET))
    base = DistillConfig(student=STUDENT, epochs=EPOCHS)
    texts = learn_texts(source, dataset.of(Split.TRAIN), base.student.embedding_dim)
    plain = AugmentConfig(views=1)
    val = make_views(dataset, source, dataset.of(Split.VAL), plain, WORK / "views", "val")
    for name in chosen or ROWS:
        if name in {row["name"] for row in rows}:
            continue
        config = base.model_copy(update=ROWS[name])
        train_views = make_views(
            dataset, source, dataset.of(Split.TRAIN), config.augment, WORK / "views", "train"
        )
        start = time.perf_counter()
        found = score(dataset, train_views, val, texts, config)
        rows.append({"name": name, **found})
        say(f"{name}: heads {found['heads']}, zero-shot {found['zero_shot']}")
        say(f"{name}: {time.perf_counter() - start:.0f} s")
        about = {"student": STUDENT, "epochs": EPOCHS, "last": LAST, "seeds": len(SEEDS)}
        write_json(result, {**about, "rows": rows, "environment": environment()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
