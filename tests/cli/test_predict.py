"""predict: real recordings in every form, and files that can not be used."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from acula_edge.artifact import Artifact
from acula_edge.bench import columns
from acula_edge.bench.folder import tasks_of
from acula_edge.data.dataset import Dataset
from acula_edge.data.metrics import logit_slices
from acula_edge.data.recording import Split
from acula_edge.runtime.runner import open_runner
from tests.cli.conftest import Run

RUNTIMES = ("tflite", "pte", "onnx")


@pytest.fixture(scope="module")
def folder(mini_folder: Path, mini_dataset: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One real recording as mono, stereo and 8-bit, in two folders, and a copy with NaN samples."""
    recording = Dataset.open(mini_dataset).of(Split.TEST)[0]
    samples, rate_hz = soundfile.read(mini_folder / recording.path, dtype="float32")
    root = tmp_path_factory.mktemp("recordings")
    (root / "more").mkdir()
    soundfile.write(root / "mono.wav", samples, rate_hz, "PCM_16")
    soundfile.write(root / "stereo.flac", np.stack([samples, samples], axis=1), rate_hz, "PCM_16")
    soundfile.write(root / "more" / "eight.wav", samples, rate_hz, "PCM_U8")
    coarse, _ = soundfile.read(root / "more" / "eight.wav", dtype="float32")
    soundfile.write(root / "more" / "steps.wav", coarse, rate_hz, "PCM_16")  # the same values in 16 bits
    samples[100] = np.nan
    soundfile.write(root / "more" / "nan.wav", samples, rate_hz, "FLOAT")
    (root / "notes.txt").write_text("not audio")
    return root


def rows(text: str) -> dict[str, list[float]]:
    """CSV -> scores by the file's name."""
    header, *body = csv.reader(io.StringIO(text))
    scores = sum(not name.startswith("decision:") for name in header[1:])
    return {Path(name).name: [float(value) for value in values[:scores]] for name, *values in body}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_scores_every_form_and_names_the_broken_file(
    run: Run, mini_bundle: Artifact, folder: Path, runtime: str
) -> None:
    done = run("predict", mini_bundle.path, folder, "--runtime", runtime)
    assert done.code == 1
    scores = rows(done.out)
    assert list(scores) == ["mono.wav", "eight.wav", "steps.wav", "stereo.flac"]
    assert (
        done.err
        == f"{folder / 'more' / 'nan.wav'}: not scored: the file holds samples that are NaN or infinite\n"
    )
    assert scores["stereo.flac"] == scores["mono.wav"]
    assert scores["eight.wav"] == scores["steps.wav"] != scores["mono.wav"]
    assert all(0 <= value <= 1 for values in scores.values() for value in values)


def test_scores_are_those_of_the_clips(
    run: Run, mini_bundle: Artifact, mini_dataset: Artifact, mini_folder: Path
) -> None:
    dataset = Dataset.open(mini_dataset)
    recording = max(dataset.of(Split.TEST), key=lambda item: len(dataset.clips(item)))
    logits = (
        open_runner(mini_bundle.file("model_pcm.tflite")).run(dataset.clips(recording)).logits.mean(axis=0)
    )
    done = run("predict", mini_bundle.path, mini_folder / recording.path, "--format", "json")
    assert done.code == 0, done.err
    (found,) = json.loads(done.out)["recordings"]
    rules = {own["task"]: own for own in mini_bundle.read_json("thresholds.json")["tasks"]}
    for task in dataset.tasks:
        own = logits[logit_slices(dataset.tasks)[task.name]].astype(float) / rules[task.name]["temperature"]
        if task.n_logits == 1:
            assert found["scores"][task.name] == pytest.approx(1 / (1 + np.exp(-own[0])), abs=1e-4)
        else:
            expected = np.exp(own) / np.exp(own).sum()
            shown = [found["scores"][f"{task.name}:{rule.name}"] for rule in task.classes]
            assert shown == pytest.approx(expected.tolist(), abs=1e-4)


def test_decisions_follow_the_bundles_rules(
    run: Run, mini_bundle: Artifact, mini_dataset: Artifact, mini_folder: Path
) -> None:
    rules = {own["task"]: own["rule"] for own in mini_bundle.read_json("thresholds.json")["tasks"]}
    paths = [mini_folder / recording.path for recording in Dataset.open(mini_dataset).of(Split.TEST)[:12]]
    shown = run("predict", mini_bundle.path, *paths)
    header, *body = csv.reader(io.StringIO(shown.out))
    said = set()
    for row in body:
        values = dict(zip(header, row, strict=True))
        for name, rule in rules.items():
            assert (f"decision:{name}" in values) == (rule is not None)
            if rule is None:
                continue
            probability, decision = float(values[name]), values[f"decision:{name}"]
            said.add(decision)
            if rule["abstain_from"] + 1e-4 < probability < rule["abstain_to"] - 1e-4:
                assert decision == "abstain"
            elif abs(probability - rule["threshold"]) > 1e-4 and decision != "abstain":
                assert decision == ("positive" if probability > rule["threshold"] else "negative")
    assert "abstain" in said
    found = json.loads(run("predict", mini_bundle.path, paths[0], "--json").out)["recordings"][0]
    told = {f"decision:{name}": decision for name, decision in found["decisions"].items()}
    assert told == {name: value for name, value in zip(header, body[0], strict=True) if "decision:" in name}


def test_runtimes_agree(run: Run, mini_bundle: Artifact, folder: Path) -> None:
    found = {
        name: rows(run("predict", mini_bundle.path, folder / "mono.wav", "--runtime", name).out)
        for name in RUNTIMES
    }
    # One clip of a hardly trained student: a probability near 0.5 moves most by an INT8 step.
    assert found["pte"]["mono.wav"] == pytest.approx(found["tflite"]["mono.wav"], abs=0.1)
    for name in ("pte", "tflite"):
        assert found[name]["mono.wav"] == pytest.approx(found["onnx"]["mono.wav"], abs=0.2)
        gaps = [abs(x - y) for x, y in zip(found[name]["mono.wav"], found["onnx"]["mono.wav"], strict=True)]
        assert sum(gaps) / len(gaps) < 0.06


def test_json_lists_what_failed(run: Run, mini_bundle: Artifact, folder: Path) -> None:
    done = run("predict", mini_bundle.path, folder, folder / "absent.wav", "--json")
    assert done.code == 1
    found = json.loads(done.out)
    assert found["notice"] == "Research software, not a medical device."
    assert len(found["recordings"]) == 4
    assert [Path(row["file"]).name for row in found["failed"]] == ["nan.wav", "absent.wav"]
    assert found["failed"][1]["reason"] == "there is no such file"


def test_result_goes_to_a_file(run: Run, mini_bundle: Artifact, folder: Path, tmp_path: Path) -> None:
    shown = run("predict", mini_bundle.path, folder / "mono.wav")
    done = run("predict", mini_bundle.path, folder / "mono.wav", "--out", tmp_path / "scores.csv")
    assert (done.code, done.out) == (0, "")
    assert (tmp_path / "scores.csv").read_text() == shown.out
    names = ["file", *columns.names(tasks_of(mini_bundle))]
    assert shown.out.splitlines()[0].split(",")[: len(names)] == names


@pytest.mark.parametrize("out", ["/dev/full", "no/such/folder/scores.csv"])
def test_result_that_can_not_be_written_is_a_sentence(
    run: Run, mini_bundle: Artifact, folder: Path, out: str
) -> None:
    done = run("predict", mini_bundle.path, folder / "mono.wav", "--out", out)
    assert done.code == 1
    assert done.err.startswith("error: ")
    assert len(done.err.splitlines()) == 1


def test_folder_without_audio_is_a_sentence(run: Run, mini_bundle: Artifact, tmp_path: Path) -> None:
    done = run("predict", mini_bundle.path, tmp_path)
    assert done.code == 1
    assert "holds no audio file" in done.err


def test_damaged_model_is_a_sentence(run: Run, mini_bundle: Artifact, folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(mini_bundle.path, tmp_path / "bundle"))
    size = (copy / "model_pcm.tflite").stat().st_size
    (copy / "model_pcm.tflite").write_bytes(b"\0" * size)
    done = run("predict", copy, folder / "mono.wav")
    assert done.code == 1
    assert "model_pcm.tflite" in done.err
