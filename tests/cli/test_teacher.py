"""teacher: encoders, train (one process and two), embed and export, as a person calls them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from acula_edge.artifact import Artifact, ArtifactKind
from acula_edge.data.audio import read_audio
from acula_edge.encoders.registry import ENCODERS
from acula_edge.encoders.teacher_model import TeacherModel, Variant
from tests.cli.conftest import Done, Run

BRIEF = """
[teacher]
encoder = "openwakeword"
epochs = 1
batch_size = 16
crop_seconds = 2.0
dropout = 0.0
patience = 1
"""


def test_table_of_encoders(run: Run) -> None:
    done = run("teacher", "encoders", "--json")
    assert done.code == 0, done.err
    rows = {row["name"]: row for row in json.loads(done.out)}
    assert set(rows) == set(ENCODERS)
    assert rows["opera-gt"]["parameters"] == pytest.approx(21.3e6, rel=0.01)
    assert rows["whisper-base-3"]["mmac"] < 0.6 * rows["whisper-base"]["mmac"]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("config") / "brief.toml"
    file.write_text(BRIEF)
    return file


def _train(launcher: list[str], out: Path, work: Path, folder: Path, config: Path) -> str:
    command = ["-m", "acula_edge", "teacher", "train", "--out", out, "--work", work, "--data", folder]
    done = subprocess.run(
        [sys.executable, *launcher, *map(str, [*command, "--config", config])],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_processes_train_what_one_trains(mini_folder: Path, config: Path, tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    shown = _train([], alone, tmp_path / "work1", mini_folder, config)
    assert "AUROC of a linear probe on the validation patients" in shown
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    _train(launcher, together, tmp_path / "work2", mini_folder, config)
    one, two = (Artifact.open(path, ArtifactKind.TEACHER) for path in (alone, together))
    assert not two.verify()
    expected, found = (load_file(artifact.file("aligned.safetensors")) for artifact in (one, two))
    base = load_file(one.file("base.safetensors"))
    moved = 0.0
    for name in (name for name in expected if name.startswith("encoder.")):
        assert np.abs(found[name].numpy() - expected[name].numpy()).max() < 1e-4, name
        moved = max(moved, float((expected[name] - base[name]).abs().max()))
    assert moved > 1e-3  # they learned


def test_embeddings_of_files(run: Run, mini_teacher: Artifact, mini_folder: Path, tmp_path: Path) -> None:
    files = sorted(mini_folder.rglob("*.flac"))[:2] or sorted(mini_folder.rglob("*.wav"))[:2]
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    out = tmp_path / "embeddings.npz"
    done = run("teacher", "embed", mini_teacher.path, *files, broken, "--out", out)
    assert done.code == 1
    assert "broken.wav: not embedded" in done.err
    with np.load(out) as stored:
        assert list(stored["files"]) == [str(file) for file in files]
        embeddings = stored["embeddings"]
    model = TeacherModel.open(mini_teacher, Variant.ALIGNED)
    assert np.array_equal(embeddings[0], model.embed(*read_audio(files[0])))
    again = run("teacher", "embed", mini_teacher.path, files[0], "--out", out)
    assert again.code == 1
    assert "exists already" in again.err


def test_export_loads_with_transformers(run: Run, mini_teacher: Artifact, tmp_path: Path) -> None:
    out = tmp_path / "exported"
    done = run("teacher", "export", mini_teacher.path, "--out", out)
    assert done.code == 0, done.err
    assert (out / "model.safetensors").is_file()
    card = (out / "README.md").read_text()
    assert "not a medical device" in card.lower()
    assert mini_teacher.digest in card + (out / "config.json").read_text()


def test_unknown_variant_is_a_sentence(run: Run, mini_teacher: Artifact, tmp_path: Path) -> None:
    done = run("teacher", "export", mini_teacher.path, "--out", tmp_path / "out", "--variant", "best")
    assert done.code == 1
    assert "best.safetensors" in done.err
    assert not (tmp_path / "out").exists()


def _evaluated(run: Run, teacher: Artifact, data: Path, folder: Path) -> Done:
    places = ("--out", folder / "report", "--work", folder / "work")
    return run("teacher", "eval", teacher.path, *places, "--data", data)


def test_evaluation_on_the_recordings_that_it_was_trained_with(
    run: Run, mini_teacher: Artifact, mini_folder: Path, tmp_path: Path
) -> None:
    done = _evaluated(run, mini_teacher, mini_folder, tmp_path)
    assert done.code == 0, done.err
    assert "lignment with reports" in done.out.splitlines()[0]
    assert "not a medical device" in done.out
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["split"] == "val"
    assert {system["system"] for system in report["closed_form"]["systems"]} == set(Variant)
    assert (tmp_path / "report" / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_evaluation_on_other_recordings_is_refused(
    run: Run, mini_teacher: Artifact, mini_folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(mini_folder, other)
    metadata = other / "metadata.csv"
    metadata.write_text("".join(metadata.read_text().splitlines(keepends=True)[:-1]))
    done = _evaluated(run, mini_teacher, other, tmp_path)
    assert done.code == 1
    assert "was trained on other recordings or splits than" in done.err
    assert not (tmp_path / "report").exists()
