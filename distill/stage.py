"""The distill stage: a student learns what the aligned teacher hears."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description, work_dir
from acula_edge.contract import AudioContract
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.environment import environment, key_of
from acula_edge.errors import ArtifactError
from acula_edge.students.store import save_student
from distill.augment_config import AugmentConfig
from distill.config import DistillConfig
from distill.shards import prune
from distill.text_space import Texts, learn_texts
from distill.training import Trained, train
from distill.views import Views, make_views

DISTILL_FILE = "distill.json"
VIEWS = "views"
_KEPT_VIEWS = 8  # sets, in the folder of views: training and validation, for four teachers or ways to augment


@dataclass(frozen=True)
class DistillInputs:
    """The aligned Teacher with its targets, and the Dataset they were made from."""

    teacher: Artifact
    dataset: Artifact


def run(config: DistillConfig, inputs: DistillInputs, out: Path) -> Artifact:
    """Train the student on the training patients; keep the epoch with the best validation AUROC.

    The views that it is trained on stay in the folder `views` beside `out`, for the next student of this
    teacher; those that were not asked for longest go. Raises ContractError if teacher and dataset carry
    different front ends, ArtifactError if the teacher was trained on another dataset, UsageError if the
    embedding is wider than the teacher's space.
    """
    dataset = Dataset.open(inputs.dataset)
    AudioContract.of(inputs.teacher.manifest.contract).require_equal(dataset.contract, "the teacher")
    if inputs.dataset.parent not in inputs.teacher.manifest.parents:
        raise ArtifactError(
            f"{inputs.teacher.path} was trained on other recordings or splits than {inputs.dataset.path}; "
            "give the data and the config that it was trained with"
        )
    texts = learn_texts(inputs.teacher, dataset.of(Split.TRAIN), config.student.embedding_dim)
    folder = out.parent / VIEWS
    views = make_views(
        dataset, inputs.teacher, dataset.of(Split.TRAIN), config.augment, folder, "views train"
    )
    plain = AugmentConfig(views=1)
    val = make_views(dataset, inputs.teacher, dataset.of(Split.VAL), plain, folder, "views val")
    prune(folder, _KEPT_VIEWS)
    checkpoint = work_dir(out) / "student.safetensors"
    trained = train(config, dataset.tasks, dataset.contract, views, val, texts, checkpoint)
    with ArtifactWriter(out) as writer:
        save_student(writer.path, trained.student)
        texts.space.save(writer.path)
        writer.write_json(DISTILL_FILE, _summary(trained, views, texts))
        return writer.commit(
            Description(
                kind=ArtifactKind.STUDENT,
                key=key_of(ArtifactKind.STUDENT, config, [inputs.teacher.digest, inputs.dataset.digest]),
                parents=(inputs.teacher.parent, inputs.dataset.parent),
                contract=inputs.dataset.manifest.contract,
                config=config.model_dump(mode="json"),
                data=inputs.dataset.manifest.data,
                seed=config.seed,
                environment=environment(),
            )
        )


def _summary(trained: Trained, views: Views, texts: Texts) -> dict[str, object]:
    return {
        "history": [[record.epoch, record.loss, record.score] for record in trained.history],
        "validation": trained.scores.heads,
        "zero_shot": trained.scores.zero_shot,
        "train_clips": len(np.unique(views.clip)),
        "train_views": len(views),
        "reports": len(texts.reports),
        "kept": texts.space.kept,
    }
