"""A stethoscope bundle learns on its device: from `adapt` to the emulated board."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from acula_edge.artifact import Artifact
from distill.adapt.apply import patched, trusted_head
from distill.adapt.names import HEAD, MODEL
from targets.stethoscope.bundle import golden_test
from targets.stethoscope.cores import CORES
from targets.stethoscope.emulator import build_test, run_test
from targets.stethoscope.verify import core_of
from tests.cli.conftest import Run, run  # noqa: F401
from tests.distill.adapt.device import CONFIG, some_recordings, spoil
from tests.targets.stethoscope.host import Model
from tests.targets.stethoscope.test_board import board

M4 = CORES["m4"]
CLIPS = 4
SETTINGS = f"""
epochs = 2
learning_rate = {CONFIG.learning_rate}

[lesson]
batch_size = {CONFIG.lesson.batch_size}
"""


@pytest.fixture(scope="module")
def shipped(bundle: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """What runs in the stethoscope: a bundle whose last layers lost some of what they knew."""
    return spoil(bundle, tmp_path_factory.mktemp("shipped") / "bundle", noise=0.5)


@board
def test_what_adapt_learns_for_a_stethoscope_runs_on_its_board(
    run: Run,  # noqa: F811
    usual: Model,
    shipped: Artifact,
    mini_bundle: Artifact,
    mini_folder: Path,
    tmp_path: Path,
) -> None:
    """Teacher: a bundle for a phone. The board's answers are those of the .tflite with the new layers."""
    (tmp_path / "device").mkdir()
    recordings = some_recordings(mini_folder, tmp_path / "device")
    (tmp_path / "adapt.toml").write_text(SETTINGS)
    given = ("--teacher", mini_bundle.path, "--recordings", recordings, "--config", tmp_path / "adapt.toml")
    done = run("adapt", "run", shipped.path, *given, "--out", tmp_path / "adaptation", "--json")
    assert done.code == 0, done.err
    facts = json.loads(done.out)["int8"]
    assert facts["after"]["cosine"] > facts["before"]["cosine"]
    head = tmp_path / "adaptation" / HEAD

    device = replace(usual, path=shipped.file(MODEL), pcm=usual.pcm[:CLIPS])
    library = device.write(tmp_path / "library")
    (tmp_path / "model.tflite").write_bytes(patched(shipped.file(MODEL), trusted_head(shipped, head, None)))
    expected = device.answers_of(tmp_path / "model.tflite")
    assert (expected.logits != device.answers.logits).any()
    elf = build_test(library, M4, tmp_path / "built")
    place = library / "test"
    assert run_test(elf, M4, place).mismatches == 0  # as it was shipped
    (place / "head.bin").write_bytes(head.read_bytes())
    assert run_test(elf, M4, place).mismatches > 0
    (place / "golden.bin").write_bytes(golden_test(device.pcm, expected))
    found = run_test(elf, M4, place)
    assert (found.head, found.clips, found.mismatches, found.failures) == (0, CLIPS, 0, ())

    applied = run("adapt", "apply", shipped.path, head, "--out", tmp_path / "adapted")
    assert applied.code == 0, applied.err
    copy = Artifact.open(tmp_path / "adapted")
    assert core_of(copy) is None
    assert "`acula_load_head` takes the very\n`head.bin`" in copy.file("README.md").read_text(
        encoding="utf-8"
    )
    assert json.loads(run("verify", copy.path, "--json").out)["passed"]
    with np.load(copy.file("golden.npz")) as new, np.load(shipped.file("golden.npz")) as old:
        assert (new["tflite_logits"] != old["tflite_logits"]).any()
