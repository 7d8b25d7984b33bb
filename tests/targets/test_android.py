"""The Android bundle: its files, its documents, and what they are generated from."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description
from acula_edge.contract import AudioContract
from acula_edge.data.dataset import Dataset
from acula_edge.data.metrics import logit_slices
from acula_edge.data.recording import Split
from acula_edge.data.tasks import Task
from acula_edge.errors import ArtifactError
from acula_edge.runtime.golden import GOLDEN, Golden
from targets.config import TargetConfig
from targets.facts import Labels, label_rows
from targets.stage import TargetInputs, run

FILES = {
    "model.pte",
    "model_pcm.pte",
    "model.tflite",
    "model_pcm.tflite",
    "model.onnx",
    "labels.json",
    "golden.npz",
    "student.safetensors",
    "student.json",
    "space.safetensors",
    "README.md",
    "AculaContract.kt",
    "AculaRules.kt",
    "ops.json",
    "parity.json",
    "fidelity.json",
    "gates.json",
    "thresholds.json",
    "graph.safetensors",
    "graph.onnx",
}


@pytest.fixture(scope="module")
def labels(mini_bundle: Artifact) -> Labels:
    return Labels.model_validate(mini_bundle.read_json("labels.json"))


@pytest.fixture(scope="module")
def readme(mini_bundle: Artifact) -> str:
    return mini_bundle.file("README.md").read_text(encoding="utf-8")


def test_the_bundle_is_whole(mini_bundle: Artifact, mini_quantized: Artifact) -> None:
    assert {entry.name for entry in mini_bundle.manifest.files} == FILES
    assert mini_bundle.verify() == []
    assert mini_bundle.manifest.contract == mini_quantized.manifest.contract
    for name in ("model.pte", "model_pcm.tflite", "model.onnx", "parity.json"):
        assert mini_bundle.file(name).read_bytes() == mini_quantized.file(name).read_bytes()
    tensors = {spec.name.split(":")[0] for spec in mini_bundle.manifest.tensors}
    assert tensors == {name for name in FILES if name.startswith("model")}


def test_labels_give_every_logit_one_meaning(labels: Labels, mini_dataset: Artifact) -> None:
    dataset = Dataset.open(mini_dataset)
    assert labels.tasks == dataset.tasks
    assert labels.simulated is dataset.simulated
    rows = label_rows(labels)
    assert [row.index for row in rows] == list(range(labels.n_logits))
    slices = logit_slices(labels.tasks)
    for task in labels.tasks:
        mine = [row for row in rows if row.task == task.name]
        assert [row.index for row in mine] == list(range(labels.n_logits))[slices[task.name]]
        names = [rule.name for rule in task.classes]
        assert [row.class_name for row in mine] == (names[1:] if len(names) == 2 else names)


def test_golden_clips_are_validation_clips_spread_over_data_sets(
    mini_bundle: Artifact, mini_dataset: Artifact
) -> None:
    golden = Golden.read(mini_bundle.file(GOLDEN))
    dataset = Dataset.open(mini_dataset)
    by_id = {recording.id: recording for recording in dataset.recordings}
    assert {by_id[name].split for name in golden.recordings} == {Split.VAL}
    present = {recording.dataset for recording in dataset.of(Split.VAL)}
    taken = [by_id[name].dataset for name in golden.recordings]
    assert len(set(taken)) == min(len(present), len(taken))


def test_golden_floats_are_those_of_the_interchange_copy(mini_bundle: Artifact) -> None:
    from acula_edge.runtime.runner import open_runner

    golden = Golden.read(mini_bundle.file(GOLDEN))
    onnx = open_runner(mini_bundle.file("model.onnx")).run(golden.features)
    np.testing.assert_allclose(golden.outputs["float"].embedding, onnx.embedding, atol=1e-4)
    np.testing.assert_allclose(golden.outputs["float"].logits, onnx.logits, atol=1e-4)


def test_readme_tells_all_that_an_app_needs(readme: str, labels: Labels, mini_bundle: Artifact) -> None:
    contract = AudioContract.of(mini_bundle.manifest.contract)
    for name in FILES - {"README.md"}:
        assert f"`{name}`" in readme
    for row in label_rows(labels):
        assert f"| {row.index} | {row.task} | {row.class_name} | {row.activation}" in readme
    assert f"**{contract.sample_rate_hz} Hz**" in readme
    assert f"**{contract.clip_samples} samples**" in readme
    assert f"**embedding** (1, {labels.embedding_dim}) and **logits** (1, {labels.n_logits})" in readme
    assert labels.notice in readme
    for own in mini_bundle.read_json("thresholds.json")["tasks"]:
        assert f"| {own['task']} | {own['temperature']:.4f} |" in readme
    assert "no phone took part" in readme
    for hop in mini_bundle.read_json("parity.json")["hops"]:
        assert hop["name"] in readme
    for file, table in mini_bundle.read_json("ops.json").items():
        assert f"| `{file}` | {table['delegates']} |" in readme


def test_libraries_have_the_versions_of_the_packages(readme: str, mini_bundle: Artifact) -> None:
    environment = mini_bundle.manifest.environment
    assert f"org.pytorch:executorch-android:{environment['executorch']}" in readme
    assert f"com.google.ai.edge.litert:litert:{environment['ai-edge-litert']}" in readme


def test_kotlin_constants_are_the_contracts(mini_bundle: Artifact, labels: Labels) -> None:
    kotlin = mini_bundle.file("AculaContract.kt").read_text(encoding="utf-8")
    contract = AudioContract.of(mini_bundle.manifest.contract)
    constants = dict(re.findall(r"const val (\w+) = (\w+)", kotlin))
    assert constants == {
        "SAMPLE_RATE_HZ": str(contract.sample_rate_hz),
        "CLIP_SAMPLES": str(contract.clip_samples),
        "N_MELS": str(contract.n_mels),
        "N_FRAMES": str(contract.n_frames),
        "EMBEDDING_DIM": str(labels.embedding_dim),
        "N_LOGITS": str(labels.n_logits),
        "SIMULATED_TRAINING_DATA": str(labels.simulated).lower(),
    }
    tasks = re.findall(r'Task\("(\w+)", (\d+), (\d+), listOf\((.*)\)\)', kotlin)
    slices = logit_slices(labels.tasks)
    assert len(tasks) == len(labels.tasks)
    for (name, start, size, classes), task in zip(tasks, labels.tasks, strict=True):
        assert (name, int(start)) == (task.name, slices[task.name].start)
        assert int(size) == task.n_logits
        assert re.findall(r'"([^"]*)"', classes) == [rule.name for rule in task.classes]


def test_kotlin_rules_are_the_frozen_ones(mini_bundle: Artifact) -> None:
    kotlin = mini_bundle.file("AculaRules.kt").read_text(encoding="utf-8")
    rules = re.findall(r'Rule\("(\w+)", ([\d.]+), ([\d.]+), ([\d.]+), ([\d.]+)\)', kotlin)
    frozen = [own for own in mini_bundle.read_json("thresholds.json")["tasks"] if own["rule"]]
    assert [rule[0] for rule in rules] == [own["task"] for own in frozen]
    for (_, *numbers), own in zip(rules, frozen, strict=True):
        names = ("threshold", "abstain_from", "abstain_to")
        expected = [own["temperature"], *(own["rule"][name] for name in names)]
        assert [float(number) for number in numbers] == pytest.approx(expected, abs=1e-6)


def test_the_same_inputs_give_the_same_bytes(
    mini_bundle: Artifact, mini_quantized: Artifact, mini_dataset: Artifact, tmp_path: Path
) -> None:
    config = TargetConfig.model_validate(mini_bundle.manifest.config)
    again = run(config, TargetInputs(mini_quantized, mini_dataset), tmp_path / "again")
    assert again.digest == mini_bundle.digest


def _with_tasks(dataset: Artifact, out: Path, tasks: tuple[Task, ...]) -> Artifact:
    with ArtifactWriter(out) as writer:
        for entry in dataset.manifest.files:
            shutil.copyfile(dataset.file(entry.name), writer.path / entry.name)
        writer.write_json("tasks.json", [task.model_dump(mode="json") for task in tasks])
        fields = {name: getattr(dataset.manifest, name) for name in Description.model_fields}
        return writer.commit(Description(**{**fields, "kind": ArtifactKind.DATASET}))


def test_tasks_that_do_not_add_up_to_the_logits_are_refused(
    mini_quantized: Artifact, mini_dataset: Artifact, tmp_path: Path
) -> None:
    fewer = _with_tasks(mini_dataset, tmp_path / "dataset", Dataset.open(mini_dataset).tasks[:-1])
    with pytest.raises(ArtifactError, match=r"has \d+ logits, the Dataset's tasks need \d+"):
        run(TargetConfig(), TargetInputs(mini_quantized, fewer), tmp_path / "out")
