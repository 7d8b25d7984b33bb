"""Training that is interrupted ends with the same bits as training that is not."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from acula_edge.checkpoint import Schedule, Training, fit
from acula_edge.errors import ArtifactError
from tests.processes import fresh_process

SCHEDULE = Schedule(4, 5, 1e-2, 1e-2, 3, 1.0, 7)


class InterruptedTrainingError(Exception):
    pass


def train(
    checkpoint: Path,
    stop_after: int | None = None,
    save_seconds: float = 60.0,
    log: Callable[[str, float, int], None] = lambda _name, _value, _step: None,
) -> nn.Module:
    """A small regression with dropout and batch norm; raises in the middle of epoch `stop_after`.

    Its convolution lies channels last, as those of encoders and students do.
    """
    torch.manual_seed(0)
    convolution = (nn.Unflatten(1, (2, 3, 1)), nn.Conv2d(2, 4, (3, 1), padding=(1, 0)), nn.Flatten())
    rest = (nn.Linear(12, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, 1))
    model = nn.Sequential(*convolution, *rest)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def batches(epoch: int, rng: np.random.Generator) -> Iterator[Tensor]:
        for index in range(SCHEDULE.steps_per_epoch):
            if epoch == stop_after and index == 2:
                raise InterruptedTrainingError
            yield torch.from_numpy(rng.normal(size=(8, 6)).astype(np.float32))

    def validate() -> float:
        return 0.1 + 0.01 * float(next(model.parameters()).detach().sum().abs())

    def loss(x: Tensor) -> dict[str, Tensor]:
        output = model(x)
        return {"error": (output.sum(1) - x.sum(1)).square().mean(), "size": 0.1 * output.square().mean()}

    training = Training(model, batches, loss, validate)
    fit(training, SCHEDULE, checkpoint, "t", log=log, save_seconds=save_seconds)
    return model


def _equal(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def _steps(seen: list[int]) -> Callable[[str, float, int], None]:
    return lambda name, _value, step: seen.append(step) if name == "error" else None


@pytest.mark.parametrize("save_seconds", [0.0, 60.0])
@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_interrupted_training_ends_as_undisturbed(tmp_path: Path, epoch: int, save_seconds: float) -> None:
    whole = train(tmp_path / "whole.safetensors")
    with pytest.raises(InterruptedTrainingError):
        train(tmp_path / "cut.safetensors", epoch, save_seconds)
    done: list[int] = []
    assert _equal(train(tmp_path / "cut.safetensors", log=_steps(done)), whole)
    first = 5 * epoch + (2 if save_seconds == 0 else 0)  # two steps of the epoch are kept, or none
    assert done == list(range(first, 20))


def test_training_killed_within_an_epoch_ends_as_undisturbed(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; import tests.test_checkpoint as t\n"
        "from safetensors.torch import save_file\n"
        "steps = []\n"
        "try:\n    model = t.train(Path(sys.argv[1]), eval(sys.argv[2]), 0.0, t._steps(steps))\n"
        "except t.InterruptedTrainingError:\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "save_file({k: v.contiguous() for k, v in model.state_dict().items()}, sys.argv[1] + '.weights')\n"
        "print(*steps)\n"
    )
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    assert fresh_process(script, cut, 2).returncode == -signal.SIGKILL
    resumed = fresh_process(script, cut, None)
    assert resumed.stdout.split() == [str(step) for step in range(12, 20)]
    assert fresh_process(script, whole, None).returncode == 0
    assert (tmp_path / "cut.weights").read_bytes() == (tmp_path / "whole.weights").read_bytes()


def test_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    train(tmp_path / "c.safetensors")
    model = nn.Linear(6, 1)
    training = Training(model, lambda _e, _r: [], lambda _x: {}, lambda: 0.0)
    for schedule in (SCHEDULE, replace(SCHEDULE, learning_rate=0.5)):
        with pytest.raises(ArtifactError, match=r"c\.safetensors is the checkpoint of another training"):
            fit(training, schedule, tmp_path / "c.safetensors", "t")


def test_every_part_of_the_loss_and_the_rate_is_logged(tmp_path: Path) -> None:
    seen: dict[str, list[int]] = {}
    train(tmp_path / "c.safetensors", log=lambda name, _value, step: seen.setdefault(name, []).append(step))
    every = list(range(20))
    assert seen == {"error": every, "size": every, "rate": every, "validation": [5, 10, 15, 20]}


def test_each_step_is_told_once_its_weights_are_new(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)
    seen: list[Tensor] = [model.weight.detach().clone()]
    training = Training(
        model,
        lambda _e, _r: [torch.ones(4, 2)] * 3,
        lambda x: {"loss": model(x).mean()},
        lambda: 0.0,
        stepped=lambda: seen.append(model.weight.detach().clone()),
    )
    fit(training, Schedule(2, 3, 0.1, 0.0, 1, 1.0, 0), tmp_path / "c.st", "t")
    assert len(seen) == 7
    assert all(not torch.equal(before, after) for before, after in pairwise(seen))


@pytest.mark.parametrize(
    ("scores", "patience", "epochs"),
    [
        ([1, 2, 3, 4], 1, 4),
        ([3, 2, 4, 1], 1, 2),
        ([3, 2, 4, 1], 2, 4),
        ([3, 3, 3, 4], 2, 3),
        ([4, 3, 2, 1], None, 4),
    ],
)
def test_training_ends_after_its_patience(
    tmp_path: Path, scores: list[float], patience: int | None, epochs: int
) -> None:
    model = nn.Linear(2, 1)
    rest = iter(scores)
    training = Training(
        model, lambda _e, _r: [torch.ones(4, 2)], lambda x: {"loss": model(x).mean()}, lambda: next(rest)
    )
    schedule = Schedule(4, 1, 0.1, 0.0, 1, 1.0, 0, patience)
    history = fit(training, schedule, tmp_path / "c.st", "t")
    assert [record.score for record in history] == scores[:epochs]
    assert fit(training, schedule, tmp_path / "c.st", "t") == history  # resumed, it is over too


def test_best_epoch_is_kept(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)
    seen: list[Tensor] = []
    scores = iter([0.2, 0.9, 0.5])

    def validate() -> float:
        seen.append(model.weight.detach().clone())
        return next(scores)

    batch = torch.ones(4, 2)
    schedule = Schedule(3, 1, 0.1, 0.0, 1, 1.0, 0)
    training = Training(model, lambda _e, _r: [batch], lambda x: {"loss": model(x).square().mean()}, validate)
    history = fit(training, schedule, tmp_path / "c.st", "t")
    assert [record.score for record in history] == [0.2, 0.9, 0.5]
    assert torch.equal(model.weight, seen[1])
    assert not torch.equal(seen[1], seen[2])


def test_rate_warms_up_and_decays_to_zero() -> None:
    rates = [SCHEDULE.rate(step) for step in range(20)]
    assert rates[0] < rates[1] < rates[2] == max(rates) == pytest.approx(1e-2)
    assert all(later < earlier for earlier, later in pairwise(rates[3:]))
    assert 0 < rates[-1] < 1e-3


def test_short_training_reaches_its_full_rate() -> None:
    short = Schedule(5, 3, 1e-2, 0.0, 20, 1.0, 0)
    assert max(short.rate(step) for step in range(15)) == pytest.approx(1e-2)


def test_checkpoint_without_room_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys; from pathlib import Path; import tests.test_checkpoint as t\n"
        "from acula_edge.errors import ArtifactError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    t.train(Path(sys.argv[1]))\nexcept ArtifactError as error:\n    print(error)\n"
    )
    done = fresh_process(script, tmp_path / "c.safetensors")
    assert "a file is larger than the system allows; make room" in done.stdout
    assert list(tmp_path.iterdir()) == []
