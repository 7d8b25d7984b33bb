"""The teacher stage on real recordings: what its artifact holds, and that it saw no test patient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from acula_edge.artifact import Artifact, ArtifactKind
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.encoders.registry import pretrained
from acula_edge.encoders.teacher_model import TEACHER_FILE, TeacherModel, Variant, embed_clips
from acula_edge.errors import ArtifactError
from acula_edge.teacher.config import TeacherConfig
from acula_edge.teacher.stage import TeacherInputs, run


def test_variants_differ_only_where_they_should(mini_teacher: Artifact, mini_dataset: Artifact) -> None:
    dataset = Dataset.open(mini_dataset)
    variants = mini_teacher.read_json(TEACHER_FILE)["variants"]
    states = {name: TeacherModel.open(mini_teacher, name).encoder.state_dict() for name in variants}
    original = pretrained("openwakeword", dataset.contract, seed=0).state_dict()
    for name, value in original.items():
        if not name.startswith("similarity."):
            assert torch.equal(states[Variant.BASE][name], value), name
    kept, moved = "convs.5.weight", "convs.17.weight"
    assert torch.equal(states[Variant.ALIGNED][kept], states[Variant.BASE][kept])
    assert not torch.equal(states[Variant.ALIGNED][moved], states[Variant.BASE][moved])
    assert not torch.equal(states[Variant.ALIGNED][moved], states[Variant.SHUFFLED][moved])


def test_targets_cover_every_train_and_val_clip_and_no_test_clip(
    mini_teacher: Artifact, mini_dataset: Artifact
) -> None:
    dataset = Dataset.open(mini_dataset)
    targets = load_file(mini_teacher.file("targets.safetensors"))
    seen = {item.id for item in dataset.of(Split.TRAIN, Split.VAL)}
    assert {name.split(".", 1)[1] for name in targets} == seen
    heads = load_file(mini_teacher.file("heads_aligned.safetensors"))
    reports = {name.removeprefix("report.") for name in targets if name.startswith("report.")}
    assert reports == {
        item.id for item in (*dataset.of(Split.TRAIN), *dataset.of(Split.VAL)) if any(item.reports)
    }
    assert all(abs(float(targets[f"report.{name}"].norm()) - 1) < 1e-5 for name in reports)
    model = TeacherModel.open(mini_teacher, Variant.ALIGNED)
    for item in (*dataset.of(Split.TRAIN)[:3], *dataset.of(Split.VAL)[:3]):
        clips = dataset.clips(item)
        expected = embed_clips(model.encoder, clips, dataset.contract)
        stored = targets[f"embedding.{item.id}"].numpy()  # through the trunk's float16 features
        assert np.abs(stored - expected).max() < 2e-3 * np.abs(expected).max()
        logits = expected @ model.weight.T + model.bias
        assert np.abs(targets[f"logits.{item.id}"].numpy() - logits).max() < 2e-2
        aligned = _projected(heads, expected)
        assert np.abs(targets[f"aligned.{item.id}"].numpy() - aligned).max() < 1e-2


def _projected(heads: dict[str, torch.Tensor], embeddings: np.ndarray) -> np.ndarray:
    """AcuLA's audio head, written out: Linear - ReLU - Linear, then length 1."""
    first, second = (
        (heads[f"audio_head.layers.{layer}.weight"].numpy(), heads[f"audio_head.layers.{layer}.bias"].numpy())
        for layer in (0, 3)
    )
    hidden = np.maximum(embeddings @ first[0].T + first[1], 0)
    shared = hidden @ second[0].T + second[1]
    return shared / np.linalg.norm(shared, axis=1, keepdims=True)


def test_recording_logits_are_the_probe_of_the_mean_clip(
    mini_teacher: Artifact, mini_dataset: Artifact
) -> None:
    dataset = Dataset.open(mini_dataset)
    model = TeacherModel.open(mini_teacher, Variant.ALIGNED)
    recording = dataset.of(Split.VAL)[0]
    waveform = dataset.waveform(recording, recording.sample_rate_hz)
    expected = embed_clips(model.encoder, dataset.clips(recording), dataset.contract).mean(0)
    logits = model.logits(waveform, recording.sample_rate_hz)
    assert np.abs(logits - (model.weight @ expected + model.bias)).max() < 1e-3
    assert logits.shape == (sum(task.n_logits for task in dataset.tasks),)


def test_summary_reports_every_variant_on_the_tasks_that_val_can_score(
    mini_teacher: Artifact, mini_dataset: Artifact
) -> None:
    summary = mini_teacher.read_json(TEACHER_FILE)
    scorable = {task.name for task in Dataset.open(mini_dataset).tasks}
    assert summary["variants"] == [str(variant) for variant in Variant]
    for scores in summary["validation"].values():
        assert scores
        assert set(scores) <= scorable
        assert all(0 <= value <= 1 for value in scores.values())
    assert len(summary["history"]["aligned"]) == mini_teacher.manifest.config["epochs"]


def test_prototypes_are_unit_vectors_of_the_classes_in_train(
    mini_teacher: Artifact, mini_dataset: Artifact
) -> None:
    dataset = Dataset.open(mini_dataset)
    heads = load_file(mini_teacher.file("heads_aligned.safetensors"))
    train = dataset.of(Split.TRAIN)
    for task in dataset.tasks:
        rows = heads[f"prototypes.{task.name}"]
        present = {item.labels[task.name] for item in train if task.name in item.labels}
        lengths = rows.norm(dim=1)
        assert rows.shape[0] == len(task.classes)
        assert {index for index in range(len(rows)) if lengths[index] > 0} == present
        assert torch.allclose(lengths[sorted(present)], torch.ones(len(present)), atol=1e-5)


def test_manifest_names_its_dataset_and_carries_its_contract(
    mini_teacher: Artifact, mini_dataset: Artifact
) -> None:
    manifest = mini_teacher.manifest
    assert manifest.kind is ArtifactKind.TEACHER
    assert [parent.digest for parent in manifest.parents] == [mini_dataset.digest]
    assert manifest.contract == mini_dataset.manifest.contract


def test_unknown_variant_is_a_sentence(mini_teacher: Artifact) -> None:
    with pytest.raises(ArtifactError, match=r"lists no file other\.safetensors"):
        TeacherModel.open(mini_teacher, "other")


def test_one_recording_is_heard_in_the_devices_band(mini_teacher: Artifact, mini_dataset: Artifact) -> None:
    dataset = Dataset.open(mini_dataset)
    rate_hz, beyond_hz = 16000, 7200.0
    assert beyond_hz > 1.2 * dataset.contract.f_max_hz
    waveform = dataset.waveform(dataset.of(Split.TRAIN)[0], rate_hz)
    hiss = 0.05 * np.sin(2 * np.pi * beyond_hz * np.arange(waveform.size) / rate_hz)
    model = TeacherModel.open(mini_teacher, Variant.BASE)
    plain = model.embed(waveform, rate_hz)
    noisy = model.embed(waveform + hiss.astype(np.float32), rate_hz)
    assert np.abs(noisy - plain).max() < 0.05 * np.abs(plain).max()


def test_an_encoder_without_weights_learns_from_waveforms_and_stops_early(
    mini_dataset: Artifact, tmp_path: Path
) -> None:
    config = TeacherConfig(
        encoder="small", epochs=3, patience=1, pretrain_epochs=1, batch_size=16, crop_seconds=1.0
    )
    teacher = run(config, TeacherInputs(mini_dataset), tmp_path / "teacher")
    base, aligned = (TeacherModel.open(teacher, name).encoder for name in (Variant.BASE, Variant.ALIGNED))
    fresh = pretrained("small", Dataset.open(mini_dataset).contract, seed=0).state_dict()
    first = "layers.0.weight"
    assert not torch.equal(base.state_dict()[first], fresh[first])  # pre-trained here
    assert not torch.equal(aligned.state_dict()[first], base.state_dict()[first])
    scores = [score for _, _, score in teacher.read_json(TEACHER_FILE)["history"]["aligned"]]
    assert all(0 < score <= 1 for score in scores)  # the probes' AUROC, not a loss
    assert len(scores) == 3 or scores[-1] <= max(scores[:-1])
