"""Classroom: a device's recordings as lessons and as an exam, around the graphs that a phone runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acula_edge.artifact import Artifact
from acula_edge.contract import AudioContract
from acula_edge.data.tasks import Task
from acula_edge.frontend import log_mel
from acula_edge.runtime.golden import GOLDEN, Golden
from acula_edge.runtime.runner import Outputs, open_runner
from acula_edge.students.space import TextSpace, unit_rows
from distill.adapt.config import AdaptConfig
from distill.adapt.exam import Exam, Paper
from distill.adapt.export import tasks_of
from distill.adapt.hearing import Sound
from distill.adapt.holdout import split_recordings
from distill.adapt.lesson import Lesson
from distill.adapt.names import ADAPT, TRUNK
from distill.adapt.trainer import DeviceTrainer
from distill.adapt.trunk import TrunkRunner

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Classroom:
    """`features` (n, 1, n_mels, n_frames) and `lessons` of all clips, the rows of those that judge, and the
    golden clips of other patients as features and maps.
    """

    config: AdaptConfig
    tasks: tuple[Task, ...]
    space: TextSpace
    trainer: DeviceTrainer
    lessons: Lesson
    learning: NDArray[np.intp]
    judging: NDArray[np.intp]
    features: Floats
    golden_features: Floats
    golden_maps: Tensor

    def paper(self) -> Paper:
        """What the weights in training say, in `adapt.pte`."""
        holdout = self.trainer.answer(self.lessons.maps[self.judging])
        golden, _ = self.trainer.answer(self.golden_maps)
        return Paper(_outputs(*holdout), golden.numpy())

    def paper_of(self, model: Path) -> Paper:
        """What an INT8 model file that takes features says."""
        runner = open_runner(model)
        holdout = runner.run(self.features[self.judging])
        return Paper(holdout, runner.run(self.golden_features).embedding)

    def exam(self, first: Paper) -> Exam:
        """The exam in which `first` is the paper of the model as it was shipped."""
        targets = self.lessons.take(torch.from_numpy(self.judging))
        return Exam(targets, first, self.space, self.tasks, self.config.lesson)


def furnish(bundle: Artifact, graphs: Artifact, sounds: Sequence[Sound], config: AdaptConfig) -> Classroom:
    """The classroom of `bundle`. The targets of the embedding have the teacher's direction and the length
    of the student's own answer, so that the INT8 grids go on fitting.
    """
    contract = AudioContract.of(bundle.manifest.contract)
    learning, judging = split_recordings([len(sound.pcm) for sound in sounds], config.holdout, config.seed)
    features = _features(np.concatenate([sound.pcm for sound in sounds]), contract)
    trunk = TrunkRunner(graphs.file(TRUNK))
    maps = trunk.run(features)
    trainer = DeviceTrainer(graphs.file(ADAPT), example(graphs))
    own, _ = trainer.answer(maps)
    directions = np.concatenate([sound.taught.embedding for sound in sounds])[:, : own.shape[1]]
    targets = torch.from_numpy(unit_rows(directions)) * own.norm(dim=1, keepdim=True)
    logits = torch.from_numpy(np.concatenate([sound.taught.logits for sound in sounds]))
    golden = np.ascontiguousarray(Golden.read(bundle.file(GOLDEN)).features)
    return Classroom(
        config=config,
        tasks=tasks_of(bundle),
        space=TextSpace.open(bundle),
        trainer=trainer,
        lessons=Lesson(maps, targets, logits),
        learning=learning,
        judging=judging,
        features=features,
        golden_features=golden,
        golden_maps=trunk.run(golden),
    )


def _features(pcm: NDArray[np.int16], contract: AudioContract) -> Floats:
    return np.ascontiguousarray(log_mel(pcm, contract)[:, None])


def example(graphs: Artifact) -> Lesson:
    """A batch of the size that the graph takes, with targets that give a finite loss."""
    shapes = {spec.name: spec.shape for spec in graphs.manifest.tensors}
    maps, embedding, logits = (shapes[f"{ADAPT}:{name}"] for name in ("maps", "embedding", "logits"))
    return Lesson(torch.zeros(maps), torch.ones(embedding), torch.zeros(logits))


def _outputs(embedding: Tensor, logits: Tensor) -> Outputs:
    return Outputs(embedding.numpy(), logits.numpy())
