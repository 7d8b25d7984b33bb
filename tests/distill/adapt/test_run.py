"""adapt run: on real recordings it comes nearer to its teacher, and a harmful teacher changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from acula_edge.artifact import Artifact, ArtifactKind, work_dir
from acula_edge.contract import AudioContract
from acula_edge.errors import GateError
from acula_edge.runtime.golden import GOLDEN, Golden
from acula_edge.runtime.runner import Outputs, open_runner
from acula_edge.students.store import load_student
from distill.adapt.classroom import furnish
from distill.adapt.head_file import open_envelope, read_head
from distill.adapt.hearing import BundleTeacher, Sound, hear
from distill.adapt.names import ADAPTATION, HEAD, MODEL, TIMING
from distill.adapt.run import AdaptInputs, learn, run, trained_tail
from tests.distill.adapt.device import CONFIG


@pytest.fixture(scope="module")
def sounds(shipped: Artifact, mini_bundle: Artifact, recordings: Path) -> list[Sound]:
    teacher = BundleTeacher.open(mini_bundle, shipped)
    return hear(sorted(recordings.iterdir()), AudioContract.of(shipped.manifest.contract), teacher)


def test_the_model_comes_nearer_to_its_teacher(adaptation: Artifact, shipped: Artifact) -> None:
    facts = adaptation.read_json(ADAPTATION)
    for form in ("float", "int8"):
        before, after = facts[form]["before"], facts[form]["after"]
        assert after["loss"] < before["loss"]
        assert 1 - after["cosine"] < 0.8 * (1 - before["cosine"])
        assert after["centred"] >= before["centred"]
        assert after["rank"] >= before["rank"]
        assert 0 < after["drift"] <= CONFIG.max_drift
    assert facts["clips"] > facts["holdout_clips"] >= 8
    assert len(adaptation.read_json(TIMING)["epoch_seconds"]) == len(facts["epochs"])
    assert adaptation.manifest.kind is ArtifactKind.ADAPTATION
    assert shipped.parent in adaptation.manifest.parents
    assert adaptation.verify() == []
    head = read_head(open_envelope(adaptation.file(HEAD).read_bytes()).payload)
    assert head.bundle == shipped.digest


def test_the_same_inputs_give_the_same_head(
    adaptation: Artifact,
    graphs: Artifact,
    shipped: Artifact,
    mini_bundle: Artifact,
    recordings: Path,
    tmp_path: Path,
) -> None:
    """And the graphs that are exported on the way are those that `adapt export` writes."""
    again = run(CONFIG, AdaptInputs(shipped, mini_bundle, sorted(recordings.iterdir())), tmp_path / "again")
    assert again.file(HEAD).read_bytes() == adaptation.file(HEAD).read_bytes()
    assert again.digest == adaptation.digest
    assert Artifact.open(work_dir(again.path) / "graphs").digest == graphs.digest


@pytest.mark.parametrize("harm", ["shuffled", "constant", "inverted"])
def test_a_harmful_teacher_changes_nothing(
    shipped: Artifact, graphs: Artifact, sounds: list[Sound], tmp_path: Path, harm: str
) -> None:
    classroom = furnish(shipped, graphs, _harmed(sounds, harm), CONFIG)
    before = classroom.trainer.state()
    with pytest.raises(GateError, match=r"nothing was learned|the model stays as it is"):
        learn(classroom, shipped, tmp_path / MODEL)
    after = classroom.trainer.state()
    assert all(np.array_equal(after[name].numpy(), before[name].numpy()) for name in before)
    assert not list(tmp_path.iterdir())


def test_a_teacher_that_is_refused_by_no_floor_is_refused_epoch_by_epoch(
    shipped: Artifact, graphs: Artifact, sounds: list[Sound], tmp_path: Path
) -> None:
    """The guards alone: shuffled answers, which the mean of all would fit best, and a bound on the drift."""
    config = CONFIG.model_copy(update={"min_agreement": -1.0, "max_drift": 1e-4})
    classroom = furnish(shipped, graphs, _harmed(sounds, "shuffled"), config)
    before = classroom.trainer.state()
    with pytest.raises(GateError, match="no update was accepted"):
        learn(classroom, shipped, tmp_path / MODEL)
    after = classroom.trainer.state()
    assert all(np.array_equal(after[name].numpy(), before[name].numpy()) for name in before)


def _harmed(sounds: list[Sound], harm: str) -> list[Sound]:
    embedding = np.concatenate([sound.taught.embedding for sound in sounds])
    logits = np.concatenate([sound.taught.logits for sound in sounds])
    order = np.random.default_rng(1).permutation(len(logits))
    taught = {
        "shuffled": (embedding[order], logits[order]),
        "constant": (np.ones_like(embedding), np.ones_like(logits)),
        "inverted": (-embedding, -logits),
    }[harm]
    ends = np.cumsum([len(sound.pcm) for sound in sounds])[:-1]
    parts = zip(*(np.split(part, ends) for part in taught), strict=True)
    return [replace(sound, taught=Outputs(*part)) for sound, part in zip(sounds, parts, strict=True)]


def test_int8_equals_the_float_head_within_its_bounds(
    shipped: Artifact, graphs: Artifact, sounds: list[Sound], tmp_path: Path
) -> None:
    """The re-quantised .tflite against the float tail that was trained, on clips of other patients."""
    classroom = furnish(shipped, graphs, sounds, CONFIG)
    learned = learn(classroom, shipped, tmp_path / MODEL)
    tail = trained_tail(classroom, shipped)
    features = Golden.read(shipped.file(GOLDEN)).features
    embedding, logits = tail(classroom.golden_maps)
    found = open_runner(tmp_path / MODEL).run(np.ascontiguousarray(features))
    cosines = _cosines(found.embedding, embedding.detach().numpy())
    before = _cosines(*_shipped_pair(shipped, features))
    assert cosines.min() > min(0.99, before.min() - 0.002)
    assert np.corrcoef(found.logits.ravel(), logits.detach().numpy().ravel())[0, 1] > 0.99
    assert learned.int8_after.agreement.cosine > learned.int8_before.agreement.cosine


def _shipped_pair(shipped: Artifact, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import torch

    with torch.no_grad():
        wanted, _ = load_student(shipped)(torch.from_numpy(features))
    found = open_runner(shipped.file(MODEL)).run(np.ascontiguousarray(features))
    return found.embedding, wanted.numpy()


def _cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray((one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1))


def test_the_tail_is_loaded_from_the_weights_in_training(
    shipped: Artifact, graphs: Artifact, sounds: list[Sound]
) -> None:
    classroom = furnish(shipped, graphs, sounds, CONFIG)
    tail = trained_tail(classroom, shipped)
    own, _ = classroom.trainer.answer(classroom.golden_maps)
    np.testing.assert_allclose(tail(classroom.golden_maps)[0].detach().numpy(), own.numpy(), atol=1e-5)
