"""Run: a device's recordings and a larger bundle become a head, if the guards accept what was learned."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description, work_dir
from acula_edge.contract import AudioContract
from acula_edge.environment import environment, key_of
from acula_edge.errors import GateError
from acula_edge.students.store import load_student
from distill.adapt.classroom import Classroom, furnish
from distill.adapt.config import AdaptConfig, LessonConfig
from distill.adapt.exam import Mark, refused, require_teacher
from distill.adapt.export import export, require_of
from distill.adapt.head_file import Head, write_head
from distill.adapt.hearing import BundleTeacher, hear
from distill.adapt.layer import Layer
from distill.adapt.lesson import LessonGraph
from distill.adapt.names import ADAPTATION, HEAD, MODEL, PLAN, TIMING
from distill.adapt.requantise import requantise
from distill.adapt.signature import signer
from distill.adapt.study import Studied, study
from distill.adapt.tail import Tail
from distill.adapt.tflite_file import TfliteFile


@dataclass(frozen=True)
class AdaptInputs:
    """The bundle of the small model, that of its teacher, audio files; perhaps exported graphs, and a key."""

    bundle: Artifact
    teacher: Artifact
    files: Sequence[Path]
    graphs: Artifact | None = None
    key: Path | None = None


@dataclass(frozen=True)
class Learned:
    """The quantised layers; marks of the graph in training and of the INT8 model, before and after."""

    layers: tuple[Layer, ...]
    studied: Studied
    float_before: Mark
    int8_before: Mark
    int8_after: Mark

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "float": {"before": self.float_before.to_json(), "after": self.studied.best.to_json()},
            "int8": {"before": self.int8_before.to_json(), "after": self.int8_after.to_json()},
            "epochs": [epoch.to_json() for epoch in self.studied.epochs],
        }


def run(config: AdaptConfig, inputs: AdaptInputs, out: Path, force: bool = False) -> Artifact:
    """Teach the bundle's last layers on a device's recordings; write the head and the evidence for it.

    Raises GateError if the guards accept nothing: no head is written then. Raises ArtifactError if the
    graphs are of another bundle or the teacher speaks of other tasks, DataError for too few recordings.
    """
    bundle = inputs.bundle
    sign, public_key = signer(inputs.key) if inputs.key else (None, None)
    teacher = BundleTeacher.open(inputs.teacher, bundle)
    with ArtifactWriter(out, force=force) as writer:
        graphs = inputs.graphs or export(config.lesson, bundle, work_dir(out) / "graphs", force=True)
        require_of(graphs, bundle)
        config = config.model_copy(update={"lesson": LessonConfig.model_validate(graphs.manifest.config)})
        began = time.perf_counter()
        sounds = hear(inputs.files, AudioContract.of(bundle.manifest.contract), teacher)
        listening_seconds = time.perf_counter() - began
        classroom = furnish(bundle, graphs, sounds, config)
        learned = learn(classroom, bundle, work_dir(out) / MODEL)
        (writer.path / HEAD).write_bytes(write_head(Head(bundle.digest, learned.layers), sign))
        facts = {
            "recordings": len(sounds),
            "clips": len(classroom.features),
            "holdout_clips": len(classroom.judging),
            "planned_bytes": graphs.read_json(PLAN)["planned_bytes"],
            "public_key": public_key,
        }
        writer.write_json(ADAPTATION, {**facts, **learned.to_json()})
        seconds = {"listening_seconds": listening_seconds, "epoch_seconds": learned.studied.seconds}
        writer.write_json(TIMING, seconds)
        return writer.commit(_describe(config, inputs), measured=[TIMING])


def learn(classroom: Classroom, bundle: Artifact, trial: Path) -> Learned:
    """Study, quantise and judge; the INT8 model is tried in the file `trial`.

    Raises GateError if the teacher is none for this model, no epoch was accepted, or the INT8 model does
    not agree better with the teacher than the shipped one.
    """
    config = classroom.config
    exam = classroom.exam(classroom.paper())
    before = exam.mark(exam.first)
    require_teacher(before, config)
    lessons = classroom.lessons.take(torch.from_numpy(classroom.learning))
    studied = study(classroom.trainer, lessons, lambda: exam.mark(classroom.paper()), config)
    if not studied.accepted:
        last = studied.epochs[-1].refused
        raise GateError(f"no update was accepted, the model stays as it is: {'; '.join(last)}")
    tail = trained_tail(classroom, bundle)
    file = TfliteFile(bundle.file(MODEL), [layer.kind for layer in tail.layers()])
    layers = tuple(requantise(layer, site) for layer, site in zip(tail.layers(), file.sites, strict=True))
    trial.parent.mkdir(parents=True, exist_ok=True)
    trial.write_bytes(file.patched(layers))
    exam = classroom.exam(classroom.paper_of(bundle.file(MODEL)))
    shipped, adapted = exam.mark(exam.first), exam.mark(classroom.paper_of(trial))
    reasons = refused(adapted, shipped, config)
    if reasons:
        raise GateError(f"INT8 loses what was learned, the model stays as it is: {'; '.join(reasons)}")
    return Learned(layers, studied, before, shipped, adapted)


def trained_tail(classroom: Classroom, bundle: Artifact) -> Tail:
    """The bundle's last layers with the weights that the trainer has now."""
    graph = LessonGraph(Tail(load_student(bundle)), classroom.tasks, classroom.config.lesson)
    graph.load_state_dict(classroom.trainer.state())
    return graph.tail


def _describe(config: AdaptConfig, inputs: AdaptInputs) -> Description:
    parents = (inputs.bundle.parent, inputs.teacher.parent)
    return Description(
        kind=ArtifactKind.ADAPTATION,
        key=key_of(ArtifactKind.ADAPTATION, config, [parent.digest for parent in parents]),
        parents=parents,
        contract=inputs.bundle.manifest.contract,
        config=config.model_dump(mode="json"),
        seed=config.seed,
        environment=environment(),
    )
