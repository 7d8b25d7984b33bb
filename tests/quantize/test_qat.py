"""QAT on real clips: what it trains, what it leaves alone, and that both runtimes get it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.fx import GraphModule

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description
from acula_edge.contract import AudioContract
from acula_edge.errors import UsageError
from acula_edge.frontend import learn_normalisation
from acula_edge.runtime.divert import divert_output
from acula_edge.runtime.runner import open_runner
from acula_edge.students.store import RETRAINED, load_student, save_student
from acula_edge.students.student import Student
from quantize.calibration import CalibrationConfig
from quantize.prepared import Prepared
from quantize.qat_config import QatConfig
from quantize.scheme import Scheme, SchemeConfig
from tests.quantize.test_scheme import CONFIG
from tests.recordings import recordings_folder, some_clips
from tests.students.shapes import heard, real_features

SHORT = QatConfig(epochs=2, batch_size=12, ema_decay=0.8)


@dataclass(frozen=True)
class Class:
    """A student with its grids, and clips to learn from and to be judged by."""

    prepared: Prepared
    train: Tensor
    val: Tensor


@pytest.fixture(scope="module")
def pupil() -> Class:
    features = real_features(60)
    train, val = features[:48], features[48:]
    student = heard(CONFIG, train)
    return Class(Prepared.of(student, train[:16], SchemeConfig(qat=SHORT), CalibrationConfig()), train, val)


def _retrain(pupil: Class, config: QatConfig, checkpoint: Path) -> Prepared:
    from quantize.qat import Lessons, retrain

    return retrain(pupil.prepared, Lessons(pupil.train, pupil.val), config, 0, checkpoint)


@pytest.fixture(scope="module")
def trained(pupil: Class, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return _retrain(pupil, SHORT, tmp_path_factory.mktemp("qat") / "qat.safetensors")


def _convert(prepared: Prepared) -> GraphModule:
    from quantize.executorch import quantise

    with divert_output():
        return quantise(prepared.network, prepared.features, prepared.scheme, prepared.ranges)


def _error(graph: torch.nn.Module, student: Student, clips: Tensor) -> float:
    """Relative squared error of embedding and of logits, added, one clip at a time."""
    with torch.no_grad():
        pairs = [(graph(clip[None]), student(clip[None])) for clip in clips]
    parts = [[torch.cat(side).double() for side in zip(*column, strict=True)] for column in _columns(pairs)]
    return float(sum((a - b).square().sum() / b.square().sum() for a, b in parts))


def _columns(pairs: list) -> list[list[tuple[Tensor, Tensor]]]:
    return [[(found[part], target[part]) for found, target in pairs] for part in (0, 1)]


def test_folding_and_unfolding_change_nothing(pupil: Class) -> None:
    from quantize.qat import fold, unfold

    student = pupil.prepared.network
    folded = fold(student)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    with torch.no_grad():
        for other in (folded, unfold(student, folded)):
            for one, two in zip(other(pupil.val), student(pupil.val), strict=True):
                torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


def test_the_training_graph_rounds_as_the_int8_graph_does(pupil: Class) -> None:
    from quantize.qat import rounding

    training, converted = rounding(pupil.prepared.network, pupil.prepared), _convert(pupil.prepared)
    with torch.no_grad():
        together = training(pupil.val)[0]
        alone = torch.cat([converted(clip[None])[0] for clip in pupil.val])
    step = pupil.prepared.ranges["linear"]
    assert (together - alone).abs().max() <= 2.01 * (step.high - step.low) / 255
    assert (together - alone).abs().median() == 0


def test_it_brings_int8_nearer_to_the_float_student(pupil: Class, trained: Prepared) -> None:
    assert trained.training is not None
    before = _error(_convert(pupil.prepared), pupil.prepared.network, pupil.val)
    after = _error(_convert(trained), pupil.prepared.network, pupil.val)
    assert trained.training.error_before == pytest.approx(before, rel=0.05)
    assert trained.training.error_after == pytest.approx(after, rel=0.05)
    assert after < (0.9 if recordings_folder() else 1.0) * before  # synthetic clips are easier to round


def test_grids_embedding_layer_and_heads_stay(pupil: Class, trained: Prepared) -> None:
    assert trained.ranges == pupil.prepared.ranges
    one, other = pupil.prepared.network.state_dict(), trained.network.state_dict()
    for name in one:
        if name.startswith(("embedding", "head")):
            assert torch.equal(one[name], other[name])
    assert not torch.equal(one["trunk.1.1.0.weight"], other["trunk.1.1.0.weight"])


def test_litert_gets_the_trained_weights_on_the_same_grids(
    pupil: Class, trained: Prepared, tmp_path: Path
) -> None:
    with divert_output():
        from quantize import litert
        from quantize.executorch import border_steps
        from quantize.graphs import NamedFeatures
        from quantize.ops import tflite_steps

        net = litert.convert(NamedFeatures(trained.network), "features", pupil.train[:1])
        grids = (trained.scheme, trained.sites, trained.ranges)
        (tmp_path / "model.tflite").write_bytes(
            litert.quantise(net, "features", trained.features.numpy(), *grids)
        )
    converted = _convert(trained)
    theirs = tflite_steps(tmp_path / "model.tflite")
    for name, steps in border_steps(converted).items():
        assert theirs[name].scale == pytest.approx(steps.scale, rel=1e-5)
        assert theirs[name].zero_point == steps.zero_point
    found = open_runner(tmp_path / "model.tflite").run(pupil.val.numpy())
    with torch.no_grad():
        target = pupil.prepared.network(pupil.val)[0].numpy()
    assert trained.training is not None
    power = ((found.embedding - target) ** 2).sum() / (target**2).sum()
    assert power < trained.training.error_before


def test_weights_that_get_worse_are_not_kept(pupil: Class, tmp_path: Path) -> None:
    wild = SHORT.model_copy(update={"epochs": 1, "learning_rate": 30.0})
    found = _retrain(pupil, wild, tmp_path / "qat.safetensors")
    assert found.network is pupil.prepared.network
    assert found.training is not None
    assert found.training.error_after == found.training.error_before


def test_a_killed_training_ends_with_the_same_bits(
    pupil: Class, trained: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import quantize.qat as module

    steps = 0
    follow = module._Rounding.follow

    def killed(model: module._Rounding) -> None:
        nonlocal steps
        steps += 1
        if steps == 6:  # in the second epoch
            raise KeyboardInterrupt
        follow(model)

    with monkeypatch.context() as patch:
        patch.setattr(module._Rounding, "follow", killed)
        with pytest.raises(KeyboardInterrupt):
            _retrain(pupil, SHORT, tmp_path / "qat.safetensors")
    again = _retrain(pupil, SHORT, tmp_path / "qat.safetensors")
    assert again.training == trained.training
    for name, value in again.network.state_dict().items():
        assert torch.equal(value, trained.network.state_dict()[name])


@pytest.fixture(scope="module")
def float_and_trained(pupil: Class, trained: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """What `bisect` reads of a student that went through QAT, its float files as the stage writes them."""
    from quantize import onnx_export
    from quantize.stage import _write_graph

    student = pupil.prepared.network
    with ArtifactWriter(tmp_path_factory.mktemp("bisect") / "bundle") as writer:
        save_student(writer.path, student)
        _write_graph(_convert(trained), trained, student, writer.path)
        with divert_output():
            onnx_export.export(student, pupil.train[:1], writer.path / "model.onnx")
        pcm, contract = some_clips(60), AudioContract()
        contract = contract.with_normalisation(learn_normalisation([pcm], contract))
        shown = contract.model_dump(mode="json")
        return writer.commit(Description(kind=ArtifactKind.BUNDLE, key="qat", contract=shown))


def test_bisect_compares_int8_with_the_trained_weights(float_and_trained: Artifact, tmp_path: Path) -> None:
    from quantize.bisect import bisect, first_fault

    clip = some_clips(60)[:1]
    hops = bisect(float_and_trained, clip)
    _, retrained, rounded, _ = hops
    assert [hop.name for hop in (retrained, rounded)] == [
        "eager float -> retrained float",
        "retrained float -> INT8 graph",
    ]
    assert first_fault(hops) is None
    shutil.copytree(float_and_trained.path, tmp_path / "bundle")
    weights = load_file(tmp_path / "bundle" / RETRAINED)
    assert not torch.equal(weights["trunk.0.0.weight"], load_student(float_and_trained).trunk[0][0].weight)
    weights["trunk.1.1.0.weight"][3] += 0.5
    save_file(weights, tmp_path / "bundle" / RETRAINED)
    broken = {hop.name: hop for hop in bisect(Artifact.open(tmp_path / "bundle"), clip)}
    culprit = broken[rounded.name].culprit
    assert culprit is not None
    assert culprit.layer == "trunk.1.1"
    assert broken["INT8 graph -> graph.onnx"].passed


@pytest.mark.parametrize("field", ["pte", "tflite"])
def test_it_is_for_static_schemes_alone(field: str) -> None:
    with pytest.raises(UsageError, match="qat trains for the scheme static"):
        SchemeConfig.model_validate({field: Scheme.DYNAMIC, "qat": {}})
