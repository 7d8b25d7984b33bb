"""Training that is interrupted ends with the same bits as training that is not."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from acula_edge.checkpoint import Schedule, fit

SCHEDULE = Schedule(4, 5, 1e-2, 1e-2, 3, 1.0, 7)


class InterruptedTrainingError(Exception):
    pass


def train(checkpoint: Path, stop_after: int | None = None) -> nn.Module:
    """A small regression with dropout and batch norm; raises in the middle of epoch `stop_after`."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, 1))

    def batches(epoch: int, rng: np.random.Generator) -> Iterator[Tensor]:
        for index in range(SCHEDULE.steps_per_epoch):
            if epoch == stop_after and index == 2:
                raise InterruptedTrainingError
            yield torch.from_numpy(rng.normal(size=(8, 6)).astype(np.float32))

    def validate() -> float:
        return 0.1 + 0.01 * float(next(model.parameters()).detach().sum().abs())

    def loss(x: Tensor) -> Tensor:
        error: Tensor = (model(x).sum(1) - x.sum(1)).square().mean()
        return error

    fit(model, batches, loss, validate, SCHEDULE, checkpoint, "t")
    return model


def _equal(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_interrupted_training_ends_as_undisturbed(tmp_path: Path, epoch: int) -> None:
    whole = train(tmp_path / "whole.safetensors")
    with pytest.raises(InterruptedTrainingError):
        train(tmp_path / "cut.safetensors", stop_after=epoch)
    assert _equal(train(tmp_path / "cut.safetensors"), whole)


def test_killed_training_ends_as_undisturbed(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; import tests.test_checkpoint as t\n"
        "try:\n    t.train(Path(sys.argv[1]), stop_after=2)\n"
        "except t.InterruptedTrainingError:\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    cut = tmp_path / "cut.safetensors"
    done = subprocess.run(
        [sys.executable, "-c", script, str(cut)], cwd=Path(__file__).parents[1], check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert _equal(train(cut), train(tmp_path / "whole.safetensors"))


def test_best_epoch_is_kept(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)
    seen: list[Tensor] = []
    scores = iter([0.2, 0.9, 0.5])

    def validate() -> float:
        seen.append(model.weight.detach().clone())
        return next(scores)

    batch = torch.ones(4, 2)
    schedule = Schedule(3, 1, 0.1, 0.0, 1, 1.0, 0)
    history = fit(
        model,
        lambda _e, _r: [batch],
        lambda x: model(x).square().mean(),
        validate,
        schedule,
        tmp_path / "c.st",
        "t",
    )
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
    args = [sys.executable, "-c", script, str(tmp_path / "c.safetensors")]
    done = subprocess.run(args, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert "a file is larger than the system allows; make room" in done.stdout
    assert list(tmp_path.iterdir()) == []
