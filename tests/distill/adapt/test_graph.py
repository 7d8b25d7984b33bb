"""adapt.pte: its loss, its gradients and its steps are those of eager torch, on real clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from acula_edge.artifact import Artifact
from acula_edge.errors import ArtifactError
from acula_edge.runtime.golden import GOLDEN, Golden
from acula_edge.students.store import load_student
from distill.adapt.config import LessonConfig
from distill.adapt.export import require_of, tasks_of
from distill.adapt.lesson import Lesson, LessonGraph, lesson_loss
from distill.adapt.names import ADAPT, PLAN, TRUNK
from distill.adapt.tail import Tail, trunk_of
from distill.adapt.trainer import DeviceTrainer
from distill.adapt.trunk import TrunkRunner

RATE, MOMENTUM, STEPS = 0.02, 0.9, 4


@pytest.fixture(scope="module")
def lesson(shipped: Artifact, mini_bundle: Artifact) -> Lesson:
    """Eight real clips, taught by the whole bundle's float student."""
    features = torch.from_numpy(Golden.read(shipped.file(GOLDEN)).features)
    with torch.no_grad():
        embedding, logits = load_student(mini_bundle)(features)
        return Lesson(trunk_of(load_student(shipped))(features), embedding, logits)


@pytest.fixture
def trainer(graphs: Artifact, lesson: Lesson) -> DeviceTrainer:
    return DeviceTrainer(graphs.file(ADAPT), lesson)


def _eager(shipped: Artifact, graphs: Artifact) -> LessonGraph:
    config = LessonConfig.model_validate(graphs.manifest.config)
    return LessonGraph(Tail(load_student(shipped)), tasks_of(shipped), config)


def test_loss_and_gradients_equal_eager_autograd(
    shipped: Artifact, graphs: Artifact, lesson: Lesson, trainer: DeviceTrainer
) -> None:
    eager = _eager(shipped, graphs)
    loss, embedding, logits = eager(lesson.maps, lesson.embedding, lesson.logits)
    loss.backward()
    found, own_embedding, own_logits = trainer.learn(lesson)
    assert found == pytest.approx(loss.item(), abs=1e-5)
    torch.testing.assert_close(own_embedding, embedding, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(own_logits, logits, atol=1e-5, rtol=1e-5)
    gradients = trainer.gradients()
    assert gradients.keys() == dict(eager.named_parameters()).keys()
    for name, parameter in eager.named_parameters():
        assert parameter.grad is not None
        assert float(parameter.grad.abs().max()) > 1e-4, f"{name} has no gradient to compare"
        assert float((gradients[name] - parameter.grad).abs().max()) < 1e-5, name


def test_steps_equal_those_of_torch(
    shipped: Artifact, graphs: Artifact, lesson: Lesson, trainer: DeviceTrainer
) -> None:
    eager = _eager(shipped, graphs)
    before = {name: value.clone() for name, value in eager.state_dict().items()}
    optimiser = torch.optim.SGD(eager.parameters(), RATE, MOMENTUM)
    trainer.optimise_with(RATE, MOMENTUM)
    for _ in range(STEPS):
        optimiser.zero_grad()
        eager(lesson.maps, lesson.embedding, lesson.logits)[0].backward()
        optimiser.step()
        trainer.learn(lesson)
        trainer.step()
    after = trainer.state()
    for name, value in eager.state_dict().items():
        moved = float((value - before[name]).abs().max())
        assert moved > 0
        assert float((after[name] - value).abs().max()) < 1e-5 + 1e-3 * moved, name
    assert trainer.learn(lesson)[0] < _eager(shipped, graphs)(*_parts(lesson))[0].item()


def test_restoring_is_exact_to_the_bit(lesson: Lesson, trainer: DeviceTrainer) -> None:
    before, answer = trainer.state(), trainer.answer(lesson.maps)
    trainer.optimise_with(RATE, MOMENTUM)
    trainer.learn(lesson)
    trainer.step()
    assert not torch.equal(trainer.answer(lesson.maps)[0], answer[0])
    trainer.restore(before)
    assert all(torch.equal(value, before[name]) for name, value in trainer.state().items())
    assert all(torch.equal(*pair) for pair in zip(trainer.answer(lesson.maps), answer, strict=True))


def test_answers_do_not_depend_on_how_clips_fill_batches(lesson: Lesson, trainer: DeviceTrainer) -> None:
    whole, _ = trainer.answer(torch.cat([lesson.maps, lesson.maps[:3]]))
    assert len(whole) == len(lesson) + 3
    torch.testing.assert_close(whole[len(lesson) :], whole[:3], atol=1e-6, rtol=1e-6)


def test_the_trunk_is_the_students(shipped: Artifact, graphs: Artifact, lesson: Lesson) -> None:
    features = Golden.read(shipped.file(GOLDEN)).features
    found = TrunkRunner(graphs.file(TRUNK)).run(np.ascontiguousarray(features))
    torch.testing.assert_close(found, lesson.maps, atol=1e-4, rtol=1e-4)


def test_the_loss_is_the_stated_one(shipped: Artifact, lesson: Lesson) -> None:
    """Against numpy, with the divergence left out and then alone on one binary task."""
    tasks, rng = tasks_of(shipped), np.random.default_rng(0)
    embedding = lesson.embedding + torch.from_numpy(rng.normal(size=lesson.embedding.shape)).float()
    plain = LessonConfig(embedding_weight=1.0, logit_weight=0.0)
    found = lesson_loss(embedding, lesson.logits, lesson, tasks, plain)
    e, t = embedding.numpy().astype(float), lesson.embedding.numpy().astype(float)
    assert float(found) == pytest.approx(((e - t) ** 2).sum() / (t**2).sum(), rel=1e-5)
    binary = tuple(task for task in tasks if task.n_logits == 1)[:1]
    one = Lesson(lesson.maps, lesson.embedding, lesson.logits[:, :1])
    own = one.logits + 1.0
    soft = LessonConfig(embedding_weight=0.0, logit_weight=0.5, temperature=3.0)
    taught, said = (1 / (1 + np.exp(-part.numpy().astype(float) / 3.0)) for part in (one.logits, own))
    entropy = -(taught * np.log(said) + (1 - taught) * np.log(1 - said)).mean()
    assert float(lesson_loss(embedding, own, one, binary, soft)) == pytest.approx(0.5 * 9 * entropy, rel=1e-5)


def test_graphs_are_bound_to_their_bundle(
    graphs: Artifact, shipped: Artifact, mini_bundle: Artifact, tmp_path: Path
) -> None:
    require_of(graphs, shipped)
    assert graphs.read_json(PLAN)["planned_bytes"] > 4 * Tail(load_student(shipped)).head.weight.numel()
    with pytest.raises(ArtifactError, match="is of another bundle"):
        require_of(graphs, mini_bundle)
    copied = graphs.copy(tmp_path / "graphs")
    content = bytearray(copied.file(ADAPT).read_bytes())
    content[len(content) // 2] ^= 1
    copied.file(ADAPT).write_bytes(content)
    with pytest.raises(ArtifactError, match=r"adapt\.pte was changed"):
        require_of(copied, shipped)


def _parts(lesson: Lesson) -> tuple[Tensor, Tensor, Tensor]:
    return lesson.maps, lesson.embedding, lesson.logits
