"""Small views in memory, a contract and texts that fit them, for tests of training itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from acula_edge.contract import Affine, AudioContract
from acula_edge.data.recording import Recording, Split
from acula_edge.data.tasks import ClassRule, Task
from acula_edge.students.config import Block, StudentConfig
from acula_edge.students.space import TextSpace, unit_rows
from distill.augment_config import AugmentConfig, SpectrogramConfig
from distill.config import DistillConfig
from distill.text_space import Texts
from distill.training import Trained, train
from distill.views import Views

N_MELS, EMBEDDING, TEACHER_DIM, SHARED, REPORTS = 16, 8, 12, 10, 6
CONTRACT = AudioContract(clip_samples=4096, n_mels=N_MELS).with_normalisation(
    Affine(mean=(0.0,) * N_MELS, std=(1.0,) * N_MELS)
)
BINARY = Task(name="two", dataset="d", classes=tuple(ClassRule(name=n, values=(n,)) for n in "ab"))
TRIPLE = Task(name="three", dataset="e", classes=tuple(ClassRule(name=n, values=(n,)) for n in "abc"))
TASKS = (BINARY, TRIPLE)
N_LOGITS = 4
SHAPE = StudentConfig(stem_channels=4, blocks=(Block(channels=8, mel_stride=2),), embedding_dim=EMBEDDING)
STILL = SHAPE.model_copy(update={"dropout": 0.0})  # a GPU draws other masks than a CPU
QUIET = AugmentConfig(spectrogram=SpectrogramConfig(gain_db=0.0, mel_mask=2, frame_mask=4))
CONFIG = DistillConfig(student=SHAPE, augment=QUIET, epochs=3, batch_size=8, warmup_steps=2)


def recordings(n: int, split: Split) -> tuple[Recording, ...]:
    """Every fourth has no label; the others take part in one of the two tasks."""
    labels = [{}, {"two": 0}, {"two": 1}, {"three": 0}, {}, {"two": 1}, {"three": 1}, {"three": 2}]
    found = []
    for index in range(n):
        own = labels[index % 8]
        place = "e" if "three" in own else "d"
        found.append(Recording(f"{split}{index}", "", place, "", "", split, 4000, 0, 1, "", labels=own))
    return tuple(found)


def views(n: int, split: Split, seed: int, copies: int = 1) -> Views:
    """Two clips a recording in `copies` views each; a class sounds in a band of its own."""
    rng = np.random.default_rng(seed)
    items = recordings(n, split)
    owner = np.repeat(np.arange(n), 2 * copies)
    labels = np.array([[item.labels.get(task.name, -1) for task in TASKS] for item in items])[owner]
    features = rng.normal(size=(len(owner), N_MELS, CONTRACT.n_frames))
    for row, label in enumerate(labels.max(axis=1) + 4 * (labels[:, 1] >= 0)):
        features[row, 2 * label : 2 * label + 2] += 2.0 * (label >= 0)
    mean = features.mean(axis=2)
    return Views(
        items,
        features.astype(np.float16),
        (mean[:, :TEACHER_DIM] * 3 + 1).astype(np.float32),
        (mean[:, :N_LOGITS] * 4).astype(np.float32),
        unit_rows(mean[:, :SHARED]),
        labels,
        owner,
        np.repeat(np.arange(2 * n), copies),
        np.tile(np.arange(copies), 2 * n),
    )


def texts(items: tuple[Recording, ...]) -> Texts:
    """Random reports and prototypes in EMBEDDING directions; every other recording has a report."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(SHARED, EMBEDDING)))[0].astype(np.float32)
    prototypes = {task.name: unit_rows(rng.normal(size=(len(task.classes), EMBEDDING))) for task in TASKS}
    reports = unit_rows(rng.normal(size=(REPORTS, EMBEDDING)))
    space = TextSpace(basis, prototypes, 0.9)
    return Texts(space, reports, {item.id: index % REPORTS for index, item in enumerate(items) if index % 2})


def trained(checkpoint: Path, config: DistillConfig = CONFIG, **options: object) -> Trained:
    """A student of 24 recordings, three steps an epoch and more, validated on 16."""
    own, val = views(24, Split.TRAIN, 1, copies=2), views(16, Split.VAL, 2)
    return train(config, TASKS, CONTRACT, own, val, texts(own.recordings), checkpoint, **options)  # type: ignore[arg-type]
