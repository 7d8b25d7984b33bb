"""The tail: folded, it is the student's end, and quantised it is the bundle's own, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from acula_edge.artifact import Artifact
from acula_edge.contract import AudioContract
from acula_edge.errors import ArtifactError
from acula_edge.frontend import log_mel
from acula_edge.students.config import Block, StudentConfig
from acula_edge.students.store import load_student
from acula_edge.students.student import Student
from distill.adapt.layer import Kind
from distill.adapt.names import MODEL, MODEL_PCM
from distill.adapt.requantise import requantise
from distill.adapt.tail import Tail, folded, trunk_of
from distill.adapt.tflite_file import TfliteFile
from tests.recordings import some_clips


def _settled(student: Student, features: torch.Tensor) -> Student:
    """Batch normalisation with the statistics of real clips, and scales that are not 1."""
    with torch.no_grad():
        for layer in student.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
                torch.nn.init.normal_(layer.bias)
        student.train()(features)
    return student.eval()


@pytest.mark.parametrize(
    "last",
    [
        {"blocks": (Block(channels=8), Block(channels=12, mel_stride=2))},
        {"blocks": (Block(channels=8), Block(channels=8, kernel=5, expansion=2))},
        {"blocks": (Block(channels=8), Block(channels=12, expansion=3)), "top_channels": 24},
        {"blocks": (Block(channels=8), Block(channels=12)), "causal": True},
    ],
)
def test_trunk_and_tail_are_the_student(last: dict[str, object]) -> None:
    torch.manual_seed(0)
    contract = AudioContract()
    features = torch.from_numpy(log_mel(some_clips(6), contract)[:, None])
    config = StudentConfig.model_validate({"stem_channels": 6, "embedding_dim": 10, **last})
    student = _settled(Student(config, contract.n_mels, contract.n_frames, 5), features)
    with torch.no_grad():
        embedding, logits = student(features)
        own_embedding, own_logits = Tail(student)(trunk_of(student)(features))
    torch.testing.assert_close(own_embedding, embedding, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(own_logits, logits, atol=1e-5, rtol=1e-5)


def test_folding_leaves_the_student_as_it_was(shipped: Artifact) -> None:
    student = load_student(shipped)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    folded(student.trunk)
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


def test_a_block_of_other_convolutions_is_refused() -> None:
    other = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3, bias=False), torch.nn.BatchNorm2d(4))
    with pytest.raises(ArtifactError, match="neither depthwise nor 1 x 1"):
        folded(other)


@pytest.mark.parametrize("name", [MODEL, MODEL_PCM])
def test_unchanged_weights_quantise_to_the_bits_of_the_bundle(mini_bundle: Artifact, name: str) -> None:
    layers = Tail(load_student(mini_bundle)).layers()
    file = TfliteFile(mini_bundle.file(name), [layer.kind for layer in layers])
    quantised = [requantise(layer, site) for layer, site in zip(layers, file.sites, strict=True)]
    for layer, (weights, scales, biases) in zip(quantised, file.layers(), strict=True):
        np.testing.assert_array_equal(layer.weights, weights)
        np.testing.assert_array_equal(layer.weight_scales, scales)
        np.testing.assert_array_equal(layer.biases, biases)
    assert file.patched(quantised) == mini_bundle.file(name).read_bytes()


def test_other_weights_change_the_file_and_only_their_places(
    shipped: Artifact, mini_bundle: Artifact
) -> None:
    before = np.frombuffer(mini_bundle.file(MODEL).read_bytes(), np.uint8)
    after = np.frombuffer(shipped.file(MODEL).read_bytes(), np.uint8)
    assert before.size == after.size
    embedding = Tail(load_student(mini_bundle)).layers()[-3].weights.size
    head = Tail(load_student(mini_bundle)).layers()[-1].weights.size
    assert 0.5 * (embedding + head) < (before != after).sum() < 1.2 * (embedding + head) + 4096


def test_a_file_that_ends_otherwise_is_refused(mini_bundle: Artifact, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="not as its student does"):
        TfliteFile(mini_bundle.file(MODEL), [Kind.ADD, Kind.ADD])
    (tmp_path / MODEL).write_bytes(b"no flatbuffer at all")
    with pytest.raises(ArtifactError, match="can not be read"):
        TfliteFile(tmp_path / MODEL, [Kind.ADD])
