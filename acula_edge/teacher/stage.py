"""The teacher stage: alignment, its controls, probes, and targets for the student."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description, work_dir
from acula_edge.checkpoint import EpochRecord
from acula_edge.data.audit_reports import refuse_report_leak
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording, Split
from acula_edge.determinism import be_deterministic
from acula_edge.encoders.protocol import AudioEncoder
from acula_edge.encoders.registry import pretrained
from acula_edge.encoders.teacher_model import TEACHER_FILE, TeacherModel, Variant
from acula_edge.environment import environment, key_of
from acula_edge.progress import say, track
from acula_edge.teacher.align import AlignmentModel, align
from acula_edge.teacher.config import Lesson, TeacherConfig, Tuning
from acula_edge.teacher.distributed import Processes
from acula_edge.teacher.facing import BLIND_TO_ROTATION, face
from acula_edge.teacher.hearing import Hearing, hear_trunk, hear_waveforms
from acula_edge.teacher.lessons import Told, teach
from acula_edge.teacher.pairs import Pairs
from acula_edge.teacher.pretrain import pretrain
from acula_edge.teacher.probe import Embedded, Probe, fit_probe
from acula_edge.teacher.prototypes import prototypes
from acula_edge.teacher.targets import Shared, save_targets
from acula_edge.teacher.texts import embed_reports, rewritten, wordings_of

# What each trained variant is taught; the base encoder is taught nothing.
_LESSON_OF = {
    Variant.SHUFFLED: Lesson.SHUFFLED,
    Variant.CONSTANT: Lesson.CONSTANT,
    Variant.BAG_OF_WORDS: Lesson.BAG_OF_WORDS,
    Variant.SSL_ONLY: Lesson.SSL_ONLY,
}


@dataclass(frozen=True)
class TeacherInputs:
    """The Dataset artifact; its test split is not opened."""

    dataset: Artifact


@dataclass(frozen=True)
class _Scored:
    """A variant with its clip embeddings (train then val) and its probe."""

    model: TeacherModel
    clips: list[NDArray[np.float32]]
    probe: Probe


def run(config: TeacherConfig, inputs: TeacherInputs, out: Path) -> Artifact:
    """Align the encoder to the reports of the training patients, train the controls, and probe them all.

    Raises ToolError if weights are missing, UsageError for an unknown encoder or language model, LeakError
    if a training recording's patient stands in another split too.
    """
    be_deterministic()
    dataset = Dataset.open(inputs.dataset)
    base = pretrained(config.encoder, dataset.contract, config.seed, config.speed)
    recordings = [*dataset.of(Split.TRAIN), *dataset.of(Split.VAL)]
    hearing = _hear(config, dataset, recordings, base, work_dir(out))
    refuse_report_leak((item.id for item in dataset.of(Split.TRAIN)), dataset.recordings)
    train, val, rewrites = _told(config, hearing)
    if not base.pretrained:
        pretrain(base, train.pairs, val.pairs, config, work_dir(out))
    trained: dict[Variant, AlignmentModel] = {}
    lessons: dict[Variant, Pairs] = {}
    histories: dict[str, list[EpochRecord]] = {}
    for variant, lesson in {Variant.ALIGNED: config.teaches, **_LESSON_OF}.items():
        pairs = teach(lesson, train, val, config.seed)
        lessons[variant] = pairs[0]
        trained[variant], histories[variant] = _align(config, base, pairs, hearing, work_dir(out), variant)
    Processes.here().only_first_goes_on()
    encoders = {Variant.BASE: base} | {name: model.encoder for name, model in trained.items()}
    scored = {name: _score(encoder, hearing, name) for name, encoder in encoders.items()}
    with ArtifactWriter(out) as writer:
        for name, found in scored.items():
            found.model.save(writer.path, name, None if name is Variant.BASE else scored[Variant.BASE].model)
        for name in (Variant.ALIGNED, Variant.SHUFFLED):
            if config.alignment in BLIND_TO_ROTATION:
                _face(trained[name], scored[name], lessons[name])
            heads = _heads(trained[name], dataset, train, recordings)
            save_file(heads, writer.path / f"heads_{name}.safetensors")
        best = scored[Variant.ALIGNED]
        reports = _reports(recordings, train.pairs, val.pairs)
        shared = Shared(trained[Variant.ALIGNED])
        save_targets(recordings, best.clips, reports, best.model, shared, writer.path)
        writer.write_json(TEACHER_FILE, _summary(config, dataset, scored, histories) | {"rewrites": rewrites})
        return writer.commit(
            Description(
                kind=ArtifactKind.TEACHER,
                key=key_of(ArtifactKind.TEACHER, config, [inputs.dataset.digest]),
                parents=(inputs.dataset.parent,),
                contract=inputs.dataset.manifest.contract,
                config=config.model_dump(mode="json"),
                data=inputs.dataset.manifest.data,
                seed=config.seed,
                environment=environment(),
            )
        )


def _hear(
    config: TeacherConfig, dataset: Dataset, recordings: Sequence[Recording], base: AudioEncoder, work: Path
) -> Hearing:
    """The trunk's features where it does not learn, waveforms otherwise."""
    if config.tuning is Tuning.TOP and base.caches_trunk and base.pretrained:
        return hear_trunk(dataset, recordings, base, work)
    return hear_waveforms(dataset, recordings, base)


def _told(config: TeacherConfig, hearing: Hearing) -> tuple[Told, Told, dict[str, int]]:
    """Training and validation pairs with their reports, and what became of the rewritten ones."""
    recordings = hearing.recordings
    wordings, rewrites = wordings_of(recordings, config.surface_forms), dict[str, int]()
    if config.rewriter:
        wordings, rewrites = rewritten(recordings, wordings, config.rewriter)
        say(f"Rewritten reports: {', '.join(f'{count} {reason}' for reason, count in rewrites.items())}")
    pairs = Pairs(
        hearing.inputs,
        embed_reports(config, recordings, wordings),
        np.array([bool(forms[0]) for forms in wordings]),
        tuple(item.dataset for item in recordings),
        hearing.rate_hz,
    )
    train, val = hearing.train_and_val
    return Told(pairs.part(train), wordings[train]), Told(pairs.part(val), wordings[val]), rewrites


def _align(
    config: TeacherConfig,
    base: AudioEncoder,
    pairs: tuple[Pairs, Pairs],
    hearing: Hearing,
    work: Path,
    variant: Variant,
) -> tuple[AlignmentModel, list[EpochRecord]]:
    torch.manual_seed(config.seed)
    model = AlignmentModel(copy.deepcopy(base), pairs[0].texts.shape[-1], config)

    def validate() -> float:
        return _probe(model.encoder, hearing, f"probe {variant}")[1].mean_validation

    return model, align(model, *pairs, config, work, variant, validate if config.patience else None)


def _score(encoder: AudioEncoder, hearing: Hearing, name: Variant) -> _Scored:
    clips, probe = _probe(encoder, hearing, f"embed {name}")
    say(f"{name}: mean validation score {probe.mean_validation:.3f}")
    return _Scored(TeacherModel(encoder, hearing.dataset.contract, probe.weight, probe.bias), clips, probe)


def _probe(encoder: AudioEncoder, hearing: Hearing, label: str) -> tuple[list[NDArray[np.float32]], Probe]:
    """Embed every clip and fit the probes on recordings (the mean over a recording's clips)."""
    progress = track(range(len(hearing.recordings)), len(hearing.recordings), label)
    clips = [hearing.embed(encoder, index) for index in progress]
    means = np.stack([part.mean(axis=0) for part in clips])
    train, val = (Embedded(hearing.recordings[part], means[part]) for part in hearing.train_and_val)
    return clips, fit_probe(hearing.dataset.tasks, train, val)


def _face(model: AlignmentModel, scored: _Scored, pairs: Pairs) -> None:
    """Lay the spaces of both heads on each other, by the pairs that were learned."""
    embeddings = np.stack([part.mean(axis=0) for part in scored.clips[: len(pairs.sources)]])
    audio, texts = embeddings[pairs.paired], pairs.texts[pairs.paired, 0]
    face(model.audio_head, model.text_head, torch.from_numpy(audio), torch.from_numpy(texts))


def _heads(
    model: AlignmentModel, dataset: Dataset, train: Told, recordings: Sequence[Recording]
) -> dict[str, Tensor]:
    """Both projection heads, and for each class of each task a prototype of the true training reports."""
    tensors = {
        f"{head}.{name}": value.contiguous()
        for head in ("audio_head", "text_head")
        for name, value in getattr(model, head).state_dict().items()
    }
    told = [recording for recording, paired in zip(recordings, train.pairs.paired, strict=False) if paired]
    texts = train.pairs.texts[train.pairs.paired, 0]
    return tensors | prototypes(model.text_head, dataset.tasks, told, texts)


def _reports(recordings: Sequence[Recording], train: Pairs, val: Pairs) -> dict[str, NDArray[np.float32]]:
    """The language model's embedding (q,) of each recording's report, where it has one."""
    texts, paired = np.concatenate([train.texts, val.texts]), np.concatenate([train.paired, val.paired])
    return {item.id: text[0] for item, text, told in zip(recordings, texts, paired, strict=True) if told}


def _summary(
    config: TeacherConfig,
    dataset: Dataset,
    scored: dict[Variant, _Scored],
    histories: dict[str, list[EpochRecord]],
) -> dict[str, object]:
    return {
        "encoder": config.encoder,
        "speed": scored[Variant.BASE].model.encoder.speed,
        "language": config.language,
        "embedding_dim": scored[Variant.BASE].model.encoder.dim,
        "tasks": [task.model_dump(mode="json") for task in dataset.tasks],
        "variants": [str(name) for name in scored],
        "validation": {str(name): item.probe.validation for name, item in scored.items()},
        "probe_strength": {str(name): item.probe.strength for name, item in scored.items()},
        "history": {
            str(name): [[record.epoch, record.loss, record.score] for record in history]
            for name, history in histories.items()
        },
    }
