"""Decisions of the firmware and of the .tflite that takes PCM, on the golden clips of a bundle."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from acula_edge.artifact import Artifact
from acula_edge.evidence.decisions import Decisions
from acula_edge.runtime.golden import Golden
from targets.facts import Labels
from targets.stethoscope.decided import MOST_STEPS, decided
from targets.stethoscope.lowering import read_network
from targets.stethoscope.network import Network
from tests.targets.stethoscope.host import Model


@pytest.fixture
def ruled(bundle: Artifact, usual: Model, tmp_path: Path) -> Artifact:
    """The bundle with a rule for every binary task."""
    folder = Path(shutil.copytree(bundle.path, tmp_path / "ruled"))
    (folder / "thresholds.json").write_text(usual.decisions.model_dump_json())
    return replace(bundle, path=folder)


@pytest.fixture
def network(bundle: Artifact) -> Network:
    return read_network(bundle.file("model.tflite"))


def test_decisions_are_those_of_the_tflite(ruled: Artifact, network: Network) -> None:
    reference, default = decided(ruled, network)
    binary = [
        task for task in Labels.model_validate(ruled.read_json("labels.json")).tasks if task.n_logits == 1
    ]
    assert reference.decisions == default.decisions == 4 * len(binary) > 0
    assert reference.different == 0
    assert reference.passed
    assert default.passed
    assert json.loads(json.dumps(reference.to_json()))["against"] == "model_pcm.tflite"


def test_golden_values_are_read_as_they_were_written(bundle: Artifact, network: Network) -> None:
    """A decision that is turned on purpose is found, and how far it lies from its limit."""
    content = (bundle.path / "test" / "golden.bin").read_bytes()
    golden = Golden.read(bundle.file("golden.npz"))
    own = np.frombuffer(content[4:], np.int8).reshape(4, -1)[:, -network.logits.size_bytes :]
    real = (own.astype(float) - network.logits.grid.zero_point) * network.logits.grid.scale
    step = network.logits.grid.scale
    assert np.abs(real - golden.outputs["tflite_pcm"].logits).max() <= 3.01 * step


@pytest.mark.parametrize("move", [1, MOST_STEPS, MOST_STEPS + 1])
def test_a_decision_may_differ_next_to_a_limit_only(move: int, ruled: Artifact, network: Network) -> None:
    """One golden logit is moved; the rule's limit is laid right before its old place."""
    grid = network.logits.grid
    golden = Golden.read(ruled.file("golden.npz"))
    steps = np.rint(golden.outputs["tflite_pcm"].logits / grid.scale + grid.zero_point).astype(int)
    labels = Labels.model_validate(ruled.read_json("labels.json"))
    first = next(place for place, task in enumerate(labels.tasks) if task.n_logits == 1)
    logit = sum(task.n_logits for task in labels.tasks[:first])
    rules = Decisions.model_validate(ruled.read_json("thresholds.json"))
    # Positive from half a step below the clip's logit on, and no band to abstain in.
    real = (steps[0, logit] - 0.5 - grid.zero_point) * grid.scale
    threshold = float(1.0 / (1.0 + np.exp(-real / rules.tasks[first].temperature)))
    rule = rules.tasks[first].rule
    assert rule is not None
    moved = rule.model_copy(update={"threshold": threshold, "abstain_from": 1.0, "abstain_to": 0.0})
    tasks = [
        task.model_copy(update={"rule": moved if place == first else None})
        for place, task in enumerate(rules.tasks)
    ]
    (ruled.path / "thresholds.json").write_text(Decisions(tasks=tuple(tasks)).model_dump_json())
    own = steps.copy()
    own[0, logit] -= move
    content = bytearray((ruled.path / "test" / "golden.bin").read_bytes())
    size = (len(content) - 4) // 4
    for clip in range(4):
        end = 4 + (clip + 1) * size
        content[end - steps.shape[1] : end] = own[clip].astype(np.int8).tobytes()
    (ruled.path / "test" / "golden.bin").write_bytes(bytes(content))
    _, found = decided(ruled, network)
    assert (found.decisions, found.different, found.steps_from_a_limit) == (4, 1, move)
    assert found.passed is (move <= MOST_STEPS)
