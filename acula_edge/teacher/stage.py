"""The teacher stage: alignment, its shuffled control, probes, and targets for the student."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from acula_edge import weights
from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description, work_dir
from acula_edge.checkpoint import EpochRecord
from acula_edge.data.audio import resample, to_int16
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording, Split
from acula_edge.encoders.protocol import AudioEncoder
from acula_edge.encoders.registry import pretrained
from acula_edge.encoders.teacher_model import TEACHER_FILE, TeacherModel, Variant, embed_clips
from acula_edge.environment import environment, key_of
from acula_edge.language.cache import embed_cached
from acula_edge.language.registry import load
from acula_edge.language.whiten import centring
from acula_edge.progress import say, track
from acula_edge.teacher.align import AlignmentModel, align
from acula_edge.teacher.config import TeacherConfig
from acula_edge.teacher.distributed import Processes
from acula_edge.teacher.lessons import shuffled
from acula_edge.teacher.pairs import Pairs
from acula_edge.teacher.pretrain import pretrain
from acula_edge.teacher.probe import Embedded, Probe, fit_probe
from acula_edge.teacher.prototypes import prototypes
from acula_edge.teacher.targets import save_targets


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
    """Align the encoder to the reports of the training patients and probe it on the tasks.

    Raises ToolError if weights are missing, UsageError for an unknown encoder or language model.
    """
    torch.use_deterministic_algorithms(True)
    dataset = Dataset.open(inputs.dataset)
    base = pretrained(config.encoder, dataset.contract, config.seed)
    recordings = [*dataset.of(Split.TRAIN), *dataset.of(Split.VAL)]
    train, val = _pairs(config, dataset, recordings, base.contract.sample_rate_hz)
    if not base.pretrained:
        pretrain(base, train, val, config, work_dir(out))
    aligned, history = _align(config, base, train, val, work_dir(out), Variant.ALIGNED)
    control_pairs = (shuffled(train, config.seed), shuffled(val, config.seed))
    control, _ = _align(config, base, *control_pairs, work_dir(out), Variant.SHUFFLED)
    Processes.here().only_first_goes_on()
    encoders = {Variant.BASE: base, Variant.ALIGNED: aligned.encoder, Variant.SHUFFLED: control.encoder}
    scored = {name: _score(encoder, dataset, recordings, name) for name, encoder in encoders.items()}
    with ArtifactWriter(out) as writer:
        for name, variant in scored.items():
            variant.model.save(writer.path, name)
        _save_heads(aligned, dataset, recordings[: len(train.sources)], train, writer.path)
        best = scored[Variant.ALIGNED]
        save_targets(recordings, best.clips, best.model, writer.path)
        writer.write_json(TEACHER_FILE, _summary(config, dataset, scored, history))
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


def _pairs(
    config: TeacherConfig, dataset: Dataset, recordings: Sequence[Recording], rate_hz: int
) -> tuple[Pairs, Pairs]:
    """Training and validation pairs; the report embeddings are centred on the training reports."""
    say(f"Reports: {len({item.report for item in recordings})} different texts through {config.language}")
    texts = embed_cached(
        load(config.language), [item.report for item in recordings], weights.home() / "embeddings"
    )
    n_train = sum(item.split is Split.TRAIN for item in recordings)
    texts = centring(texts[:n_train])(texts)
    heard = tuple(_hear(dataset, item, rate_hz) for item in track(recordings, len(recordings), "audio"))
    sources = tuple(item.dataset for item in recordings)
    paired = np.array([bool(item.report) for item in recordings])
    both = Pairs(heard, texts[:, None], paired, sources, rate_hz)
    return both.part(slice(n_train)), both.part(slice(n_train, None))


def _hear(dataset: Dataset, recording: Recording, rate_hz: int) -> NDArray[np.int16]:
    """A recording as the encoder hears it: in the device's band, at the encoder's rate."""
    device_hz = dataset.contract.sample_rate_hz
    return to_int16(resample(dataset.waveform(recording, device_hz), device_hz, rate_hz))


def _align(
    config: TeacherConfig, base: AudioEncoder, train: Pairs, val: Pairs, work: Path, variant: Variant
) -> tuple[AlignmentModel, list[EpochRecord]]:
    torch.manual_seed(config.seed)
    model = AlignmentModel(copy.deepcopy(base), train.texts.shape[-1], config)
    return model, align(model, train, val, config, work, variant)


def _score(
    encoder: AudioEncoder, dataset: Dataset, recordings: Sequence[Recording], name: Variant
) -> _Scored:
    """Embed every clip and fit the probes on recordings (the mean over a recording's clips)."""
    progress = track(recordings, len(recordings), f"embed {name}")
    clips = [embed_clips(encoder, dataset.clips(item), dataset.contract) for item in progress]
    means = np.stack([part.mean(axis=0) for part in clips])
    n_train = sum(item.split is Split.TRAIN for item in recordings)
    train = Embedded(recordings[:n_train], means[:n_train])
    probe = fit_probe(dataset.tasks, train, Embedded(recordings[n_train:], means[n_train:]))
    say(f"{name}: mean validation score {probe.mean_validation:.3f}")
    return _Scored(TeacherModel(encoder, dataset.contract, probe.weight, probe.bias), clips, probe)


def _save_heads(
    model: AlignmentModel, dataset: Dataset, train: Sequence[Recording], pairs: Pairs, folder: Path
) -> None:
    """`heads.safetensors`: both projection heads and a text prototype for each class of each task."""
    tensors = {
        f"{head}.{name}": value.contiguous()
        for head in ("audio_head", "text_head")
        for name, value in getattr(model, head).state_dict().items()
    }
    tensors |= prototypes(model.text_head, dataset.tasks, train, pairs.texts[:, 0])
    save_file(tensors, folder / "heads.safetensors")


def _summary(
    config: TeacherConfig,
    dataset: Dataset,
    scored: dict[Variant, _Scored],
    history: Sequence[EpochRecord],
) -> dict[str, object]:
    return {
        "encoder": config.encoder,
        "language": config.language,
        "embedding_dim": scored[Variant.BASE].model.encoder.dim,
        "tasks": [task.model_dump(mode="json") for task in dataset.tasks],
        "variants": [str(name) for name in scored],
        "validation": {str(name): item.probe.validation for name, item in scored.items()},
        "probe_strength": {str(name): item.probe.strength for name, item in scored.items()},
        "history": [[record.epoch, record.loss, record.score] for record in history],
    }
