"""Checkpoint: a training loop that a kill can not harm.

Every so many seconds, and after every epoch, the weights, the optimiser and the best weights so far go
to one safetensors file, written aside and renamed. Random numbers are a function of the place in the
training: an epoch's batches are drawn from (seed, epoch), and each step seeds torch from (seed, epoch,
step). A resumed run so draws what an undisturbed one draws, and ends with the same bits on the same
machine.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from acula_edge.disk import no_room
from acula_edge.errors import ArtifactError
from acula_edge.progress import say, track

Batch = TypeVar("Batch")
Log = Callable[[str, float, int], None]  # name, value, optimiser step


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train: AdamW with linear warm-up, then linear decay to zero.

    With `patience`, training ends after so many epochs without a better validation score.
    """

    epochs: int
    steps_per_epoch: int
    learning_rate: float
    weight_decay: float
    warmup_steps: int
    clip_norm: float
    seed: int
    patience: int | None = None

    def rate(self, step: int) -> float:
        """Learning rate of optimiser step `step`, counted from 0."""
        total = self.epochs * self.steps_per_epoch
        warmup = min(self.warmup_steps, total // 5)  # a short training must not end while it warms up
        warm = min(1.0, (step + 1) / max(1, warmup))
        decay = (total - step) / max(1, total - warmup)
        return self.learning_rate * min(warm, max(0.0, decay))

    def over(self, history: list[EpochRecord]) -> bool:
        """Whether training ends after these epochs."""
        if len(history) >= self.epochs or not history:
            return len(history) >= self.epochs
        best = max(history, key=lambda record: record.score)
        return self.patience is not None and history[-1].epoch - best.epoch >= self.patience


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch gave: mean training loss and the validation score (higher is better)."""

    epoch: int
    loss: float
    score: float


@dataclass(frozen=True)
class Training(Generic[Batch]):
    """What is trained, on what, and how it is judged.

    `batches(epoch, rng)` yields the epoch's batches and draws from `rng` alone. `loss(batch)` gives the
    named parts of the loss; their sum is minimised. `validate()` is higher for better weights.
    `rate_of(name)` scales the learning rate of a parameter; `stepped()` is called after each optimiser step.
    """

    model: nn.Module
    batches: Callable[[int, np.random.Generator], Iterable[Batch]]
    loss: Callable[[Batch], Mapping[str, Tensor]]
    validate: Callable[[], float]
    rate_of: Callable[[str], float] = lambda _name: 1.0
    stepped: Callable[[], None] = lambda: None


class Alone:
    """The processes that train together: here, one (`acula_edge.teacher.distributed` has more)."""

    rank = 0
    count = 1

    def sum_gradients(self, model: nn.Module) -> None:
        """Add up every parameter's gradient over the processes."""

    def agree(self, judge: Callable[[], float]) -> float:
        """The first process's `judge()`, for all."""
        return judge()


@dataclass
class _Progress:
    """Where a training is: whole epochs, and the losses of the steps of the one that has begun."""

    best: dict[str, Tensor]
    history: list[EpochRecord] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


def fit(
    training: Training[Batch],
    schedule: Schedule,
    checkpoint: Path,
    label: str,
    processes: Alone | None = None,
    log: Log = lambda _name, _value, _step: None,
    save_seconds: float = 60.0,
) -> list[EpochRecord]:
    """Train the model in place and leave it with the weights of its best validation score.

    A `checkpoint` of the same training is continued from; the first process writes it, every
    `save_seconds` and after each epoch, and all read it. Raises ArtifactError for a checkpoint of another
    training.
    """
    run = _Run(training, schedule, checkpoint, processes or Alone(), log, save_seconds)
    while not schedule.over(run.progress.history):
        run.epoch(f"{label} {len(run.progress.history) + 1}/{schedule.epochs}")
    training.model.load_state_dict(run.progress.best)
    return run.progress.history


class _Run(Generic[Batch]):
    """One call of `fit`."""

    def __init__(
        self,
        training: Training[Batch],
        schedule: Schedule,
        checkpoint: Path,
        processes: Alone,
        log: Log,
        save_seconds: float,
    ) -> None:
        self._training, self._schedule, self._processes = training, schedule, processes
        self._checkpoint, self._save_seconds, self._log = checkpoint, save_seconds, log
        self._optimiser = _optimiser(training, schedule)
        begun = _load(checkpoint, training.model, self._optimiser, schedule)
        self.progress = begun or _Progress(_copy(training.model))
        self._saved_s = time.monotonic()

    def epoch(self, name: str) -> None:
        """The steps of one epoch that are still to do, and its validation."""
        progress, schedule = self.progress, self._schedule
        left = schedule.steps_per_epoch - len(progress.losses)
        for batch in track(self._batches(), left, name):
            self._step(batch)
            self._save_now_and_then()
        score = self._processes.agree(self._training.validate)
        loss = math.fsum(progress.losses) / max(1, len(progress.losses))
        record = EpochRecord(len(progress.history), loss, score)
        if not progress.history or score > max(past.score for past in progress.history):
            progress.best = _copy(self._training.model)
        progress.history.append(record)
        progress.losses.clear()
        self._save()
        self._log("validation", score, len(progress.history) * schedule.steps_per_epoch)
        say(f"{name}: loss {record.loss:.4f}, validation {record.score:.4f}")

    def _batches(self) -> Iterator[Batch]:
        """The rest of this epoch; what is behind us is drawn again, and passed over."""
        epoch = len(self.progress.history)
        drawn = self._training.batches(epoch, np.random.default_rng([self._schedule.seed, epoch]))
        return islice(drawn, len(self.progress.losses), None)

    def _step(self, batch: Batch) -> None:
        epoch, index = len(self.progress.history), len(self.progress.losses)
        place = [self._schedule.seed, epoch, index, self._processes.rank]
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))
        step = epoch * self._schedule.steps_per_epoch + index
        rate = self._schedule.rate(step)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["scale"]
        parts = self._gradients(batch)
        self._optimiser.step()
        self._training.stepped()
        self.progress.losses.append(math.fsum(parts.values()))
        for name, value in {**parts, "rate": rate}.items():
            self._log(name, value, step)

    def _gradients(self, batch: Batch) -> dict[str, float]:
        """Put the clipped gradients into the parameters; the parts of the loss.

        Every process has the same loss, so that each sends back its share of it.
        """
        model = self._training.model
        model.train()
        self._optimiser.zero_grad(set_to_none=True)
        parts = self._training.loss(batch)
        (torch.stack(list(parts.values())).sum() / self._processes.count).backward()  # type: ignore[no-untyped-call]
        self._processes.sum_gradients(model)
        torch.nn.utils.clip_grad_norm_(model.parameters(), self._schedule.clip_norm)
        return {name: float(value.detach()) for name, value in parts.items()}

    def _save_now_and_then(self) -> None:
        if time.monotonic() - self._saved_s >= self._save_seconds:
            self._save()

    def _save(self) -> None:
        if self._processes.rank == 0:
            _save(self._checkpoint, self._training.model, self._optimiser, self._schedule, self.progress)
        self._saved_s = time.monotonic()


def _optimiser(training: Training[Batch], schedule: Schedule) -> torch.optim.Optimizer:
    of_scale: dict[float, list[nn.Parameter]] = {}
    for name, parameter in training.model.named_parameters():
        if parameter.requires_grad:
            of_scale.setdefault(training.rate_of(name), []).append(parameter)
    groups = [{"params": own, "scale": scale} for scale, own in of_scale.items()]
    # Fused: one kernel a group, where a GPU would else launch a dozen a tensor.
    return torch.optim.AdamW(groups, schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True)


def _copy(model: nn.Module) -> dict[str, Tensor]:
    """The model's state, detached and contiguous as safetensors wants it."""
    plain = torch.contiguous_format
    return {name: value.detach().clone(memory_format=plain) for name, value in model.state_dict().items()}


def _save(
    path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, schedule: Schedule, progress: _Progress
) -> None:
    tensors = {f"model.{name}": value for name, value in _copy(model).items()}
    tensors |= {f"best.{name}": value.clone() for name, value in progress.best.items()}
    for index, slots in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{slot}": value.contiguous() for slot, value in slots.items()}
    place = {
        "schedule": asdict(schedule),
        "history": [asdict(record) for record in progress.history],
        "losses": progress.losses,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".writing")
    try:
        save_file(tensors, aside, metadata={"progress": json.dumps(place)})
    except Exception as error:
        aside.unlink(missing_ok=True)
        reason = no_room(error, path.parent)
        if reason is None:
            raise
        raise ArtifactError(f"{path.parent}: {reason}; make room and run the same command again") from error
    os.replace(aside, path)


def _load(
    path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, schedule: Schedule
) -> _Progress | None:
    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as stored:
        place = json.loads(stored.metadata()["progress"])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    weights = _under("model.", tensors)
    if place["schedule"] != asdict(schedule) or weights.keys() != model.state_dict().keys():
        raise ArtifactError(f"{path} is the checkpoint of another training; remove it to start afresh")
    model.load_state_dict(weights)
    parameters = [item for group in optimiser.param_groups for item in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _under("optimiser.", tensors).items():
        index, slot = name.split(".", 1)
        state.setdefault(int(index), {})[slot] = _laid_out_like(parameters[int(index)], value)
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    history = [EpochRecord(**record) for record in place["history"]]
    return _Progress(_under("best.", tensors), history, place["losses"])


def _laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    """`value` with the parameter's strides: the fused optimiser walks through the memory of both at once."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
