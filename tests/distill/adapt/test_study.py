"""Study: what is refused leaves no trace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from acula_edge.artifact import Artifact
from acula_edge.errors import DataError
from acula_edge.runtime.golden import GOLDEN, Golden
from acula_edge.students.store import load_student
from distill.adapt.exam import Mark
from distill.adapt.guards import Agreement
from distill.adapt.lesson import Lesson
from distill.adapt.names import ADAPT
from distill.adapt.study import study
from distill.adapt.tail import trunk_of
from distill.adapt.trainer import DeviceTrainer
from tests.distill.adapt.device import CONFIG

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def lessons(shipped: Artifact, mini_bundle: Artifact) -> Lesson:
    """Real clips, each twice: two batches an epoch."""
    features = torch.from_numpy(Golden.read(shipped.file(GOLDEN)).features).repeat(2, 1, 1, 1)
    with torch.no_grad():
        embedding, logits = load_student(mini_bundle)(features)
        return Lesson(trunk_of(load_student(shipped))(features), embedding, logits)


@pytest.fixture
def trainer(graphs: Artifact, lessons: Lesson) -> DeviceTrainer:
    return DeviceTrainer(graphs.file(ADAPT), lessons.take(torch.arange(8)))


def _mark(value: float) -> Mark:
    return Mark(Agreement(loss=1 - value, cosine=value, centred=value, rank=value), 0.0)


class _Script:
    """An exam with known marks, which remembers the weights that each was given for."""

    def __init__(self, trainer: DeviceTrainer, values: list[float]) -> None:
        self.trainer, self.values, self.states = trainer, iter(values), list[State]()

    def __call__(self) -> Mark:
        self.states.append(self.trainer.state())
        return _mark(next(self.values))


def _equal(one: State, other: State) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_last_accepted_weights_come_back_bit_for_bit(trainer: DeviceTrainer, lessons: Lesson) -> None:
    script = _Script(trainer, [0.5, 0.6, 0.7, 0.65, 0.7])
    found = study(trainer, lessons, script, CONFIG)
    assert [bool(epoch.refused) for epoch in found.epochs] == [False, False, True, True]
    assert found.accepted == 2
    assert found.best == _mark(0.7)
    assert _equal(trainer.state(), script.states[2])
    assert not _equal(script.states[2], script.states[3])
    rates = [epoch.learning_rate for epoch in found.epochs]
    assert rates == pytest.approx([CONFIG.learning_rate] * 3 + [CONFIG.learning_rate / 2])


def test_patience_ends_the_run_where_it_began(trainer: DeviceTrainer, lessons: Lesson) -> None:
    script = _Script(trainer, [0.5, 0.4, 0.4, 0.4, 0.4])
    found = study(trainer, lessons, script, CONFIG.model_copy(update={"patience": 2}))
    assert (len(found.epochs), found.accepted) == (2, 0)
    assert _equal(trainer.state(), script.states[0])


def test_a_rate_that_bursts_the_weights_is_undone(trainer: DeviceTrainer, lessons: Lesson) -> None:
    """Real marks: NaN and worse are refused."""
    before = trainer.state()

    def sit() -> Mark:
        loss = sum(_losses(trainer, lessons))
        return Mark(Agreement(loss, -loss, -loss, -loss), 0.0)

    config = CONFIG.model_copy(update={"learning_rate": 1e6, "patience": 2, "epochs": 2})
    found = study(trainer, lessons, sit, config)
    assert found.accepted == 0
    assert _equal(trainer.state(), before)


def _losses(trainer: DeviceTrainer, lessons: Lesson) -> Iterator[float]:
    for start in range(0, len(lessons), 8):
        yield trainer.learn(lessons.take(torch.arange(start, start + 8)))[0]


def test_less_than_a_batch_is_refused(trainer: DeviceTrainer, lessons: Lesson) -> None:
    with pytest.raises(DataError, match="7 clips are left to learn from, and a batch is 8"):
        study(trainer, lessons.take(torch.arange(7)), lambda: _mark(0.5), CONFIG)
