"""Two students in INT8: the usual one, and one whose shape takes every path through the kernels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from acula_edge.artifact import Artifact
from acula_edge.contract import AudioContract
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.spread import spread_clips
from acula_edge.evidence.decisions import Decisions, Rule, TaskDecision
from acula_edge.frontend import learn_normalisation, log_mel
from acula_edge.students.config import Block, StudentConfig
from targets.config import TargetConfig
from targets.facts import Labels
from targets.stage import TargetInputs, make_labels, run
from tests.targets.stethoscope.host import Library, Model, compile_host

if TYPE_CHECKING:
    from torch import Tensor

    from acula_edge.students.student import Student

# Residuals, a kernel of 5, causal paddings, and numbers of channels that no vector divides.
ODD_SHAPE = StudentConfig(
    stem_channels=7,
    blocks=(
        Block(channels=13, frame_stride=2),
        Block(channels=13, expansion=2),
        Block(channels=18, kernel=5, mel_stride=2, frame_stride=2),
    ),
    embedding_dim=11,
    causal=True,
)
# A window that is no power of two, and a transform that needs no step of two.
ODD_FRONT_END = {"window_samples": 400, "hop_samples": 150, "n_fft": 512, "n_mels": 37, "clip_samples": 16000}


@pytest.fixture(scope="session")
def usual(mini_quantized: Artifact, mini_dataset: Artifact) -> Model:
    """The student of `mini_quantized` on the clips of the validation split."""
    dataset = Dataset.open(mini_dataset)
    clips = spread_clips(dataset, Split.VAL, 24, 0)
    labels = make_labels(dataset, mini_quantized)
    # A rule for every binary task, whatever the few validation recordings of the tests allow.
    rules = [
        Rule(
            threshold=0.3 + 0.05 * i, chosen_by="the test", abstain_from=0.2 * i, abstain_to=0.4, coverage=0.9
        )
        for i in range(len(dataset.tasks))
    ]
    decisions = Decisions(
        tasks=tuple(
            TaskDecision(
                task=task.name,
                temperature=0.7 + 0.2 * i,
                rule=rule if task.n_logits == 1 else None,
                counts=(),
            )
            for i, (task, rule) in enumerate(zip(dataset.tasks, rules, strict=True))
        )
    )
    return Model(mini_quantized.file("model.tflite"), dataset.contract, labels, decisions, clips.pcm)


@pytest.fixture(scope="session")
def odd(usual: Model, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """An untrained student of `ODD_SHAPE` behind another front end."""
    import torch

    from acula_edge.runtime.divert import divert_output
    from acula_edge.students.student import Student
    from quantize import litert
    from quantize.graphs import NamedFeatures

    pcm = np.ascontiguousarray(usual.pcm[:, :16000])
    contract = AudioContract.make(**ODD_FRONT_END)
    contract = contract.with_normalisation(learn_normalisation([pcm], contract))
    torch.manual_seed(0)
    student = Student(ODD_SHAPE, contract.n_mels, contract.n_frames, usual.labels.n_logits)
    features = np.ascontiguousarray(log_mel(pcm, contract)[:, None])
    _settle(student, torch.from_numpy(features))
    path = tmp_path_factory.mktemp("odd") / "model.tflite"
    with divert_output():
        first = torch.from_numpy(features[:1])
        converted = litert.convert(NamedFeatures(student), "features", first)
        path.write_bytes(litert.quantise(converted, "features", features))
    labels = Labels(**{**dict(usual.labels), "embedding_dim": ODD_SHAPE.embedding_dim})
    return Model(path, contract, labels, usual.decisions, pcm)


def _settle(student: Student, features: Tensor) -> None:
    """Statistics of real sound, and outputs around zero, so that different clips give different steps."""
    student.train()(features)
    embedding, _ = student.eval()(features)
    student.embedding.bias.data -= embedding.mean(0)
    student.head.bias.data -= student(features)[1].mean(0)


@pytest.fixture(scope="session")
def usual_folder(usual: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of `usual`."""
    return usual.write(tmp_path_factory.mktemp("usual"))


@pytest.fixture(scope="session")
def odd_folder(odd: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of `odd`."""
    return odd.write(tmp_path_factory.mktemp("odd"))


@pytest.fixture(scope="session")
def whole(odd: Model) -> Model:
    """The student of `odd`, run once a clip."""
    return replace(odd, whole=True)


@pytest.fixture(scope="session")
def whole_folder(whole: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of `whole`."""
    return whole.write(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def library(shared: Path, usual: Model) -> Library:
    """The library of `usual`, freshly started."""
    return Library(usual, shared)


@pytest.fixture(scope="session")
def shared(usual_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared object of `usual`."""
    out = tmp_path_factory.mktemp("shared") / "libacula.so"
    return compile_host(usual_folder, "gcc", out, "-shared", "-fPIC", tests=False)


@pytest.fixture(scope="session")
def bundle(
    mini_quantized: Artifact, mini_dataset: Artifact, tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    """The bundle for a Cortex-M4, with four golden clips."""
    inputs = TargetInputs(mini_quantized, mini_dataset)
    config = TargetConfig(name="stethoscope-m4", golden_clips=4)
    return run(config, inputs, tmp_path_factory.mktemp("bundle") / "stethoscope")
