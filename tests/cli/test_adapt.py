"""adapt: from a key to a bundle that predicts, by the commands alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acula_edge.artifact import Artifact
from acula_edge.cli import main
from distill.adapt.names import ADAPT, HEAD, TRUNK
from tests.cli.conftest import Run
from tests.distill.adapt.device import CONFIG, some_recordings, spoil

SETTINGS = f"""
epochs = {CONFIG.epochs}
learning_rate = {CONFIG.learning_rate}

[lesson]
batch_size = {CONFIG.lesson.batch_size}
"""


@pytest.fixture(scope="module")
def shipped(mini_bundle: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return spoil(mini_bundle, tmp_path_factory.mktemp("shipped") / "bundle", noise=0.5)


@pytest.fixture(scope="module")
def recordings(mini_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_recordings(mini_folder, tmp_path_factory.mktemp("device"))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("settings") / "adapt.toml"
    file.write_text(SETTINGS)
    return file


@pytest.fixture(scope="module")
def graphs(shipped: Artifact, settings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `adapt export` writes."""
    out = tmp_path_factory.mktemp("graphs") / "graphs"
    with pytest.raises(SystemExit) as stop:
        main(["adapt", "export", str(shipped.path), "--out", str(out), "--config", str(settings)])
    assert not stop.value.code
    return out


def test_from_a_key_to_a_bundle_that_predicts(
    run: Run,
    shipped: Artifact,
    mini_bundle: Artifact,
    recordings: Path,
    settings: Path,
    graphs: Path,
    tmp_path: Path,
) -> None:
    made = run("adapt", "key", "--out", tmp_path / "key.pem", "--json")
    assert made.code == 0, made.err
    public = json.loads(made.out)["public_key"]
    assert {path.name for path in graphs.iterdir()} >= {TRUNK, ADAPT, "manifest.json"}
    given = ("--teacher", mini_bundle.path, "--recordings", recordings, "--out", tmp_path / "adaptation")
    kept = ("--key", tmp_path / "key.pem", "--graphs", graphs, "--config", settings)
    adapted = run("adapt", "run", shipped.path, *given, *kept, "--json")
    assert adapted.code == 0, adapted.err
    facts = json.loads(adapted.out)
    assert facts["public_key"] == public
    assert facts["int8"]["after"]["cosine"] > facts["int8"]["before"]["cosine"]
    head, bundle = tmp_path / "adaptation" / HEAD, tmp_path / "adapted"
    refused = run("adapt", "apply", shipped.path, head, "--public-key", "ab" * 32, "--out", bundle)
    assert (refused.code, bundle.exists()) == (1, False)
    assert "was not signed with the key" in refused.err
    applied = run("adapt", "apply", shipped.path, head, "--public-key", public, "--out", bundle)
    assert applied.code == 0, applied.err
    assert "model.onnx" in applied.out
    verified = json.loads(run("verify", bundle, "--json").out)
    assert verified["passed"]
    assert verified["not_checked"] == ["pte", "onnx"]
    assert run("verify", bundle, "--runtime", "pte").code == 1
    file = next(recordings.iterdir())
    scores = [json.loads(run("predict", folder, file, "--json").out) for folder in (shipped.path, bundle)]
    assert scores[0]["recordings"] != scores[1]["recordings"]


def test_nothing_accepted_is_exit_3_and_no_head(
    run: Run,
    shipped: Artifact,
    mini_bundle: Artifact,
    recordings: Path,
    graphs: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "adapt.toml").write_text("epochs = 1\nlearning_rate = 1e6\n")
    given = ("--teacher", mini_bundle.path, "--recordings", recordings, "--out", tmp_path / "adaptation")
    done = run("adapt", "run", shipped.path, *given, "--graphs", graphs, "--config", tmp_path / "adapt.toml")
    assert done.code == 3
    assert "no update was accepted" in done.err
    assert not (tmp_path / "adaptation").exists()


def test_settings_that_do_not_exist_are_told(run: Run, mini_bundle: Artifact, tmp_path: Path) -> None:
    (tmp_path / "adapt.toml").write_text("[lesson]\nbatch = 8\n")
    done = run(
        "adapt", "export", mini_bundle.path, "--out", tmp_path / "out", "--config", tmp_path / "adapt.toml"
    )
    assert done.code == 2
    assert "adapt.toml: lesson.batch:" in done.err


def test_other_artifacts_are_no_bundles(run: Run, mini_dataset: Artifact, tmp_path: Path) -> None:
    done = run("adapt", "export", mini_dataset.path, "--out", tmp_path / "out")
    assert done.code == 1
    assert "is a dataset artifact, not a bundle" in done.err
