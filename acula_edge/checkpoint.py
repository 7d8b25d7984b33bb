"""Checkpoint: a training loop that a kill can not harm.

After every epoch the weights, the optimiser and the best weights so far go to one safetensors file,
written aside and renamed. Each epoch seeds its random numbers from (seed, epoch), so that a resumed
run draws what an undisturbed one draws, and ends with the same bits on the same machine.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from acula_edge.disk import no_room
from acula_edge.errors import ArtifactError
from acula_edge.progress import say, track

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train: AdamW with linear warm-up, then linear decay to zero."""

    epochs: int
    steps_per_epoch: int
    learning_rate: float
    weight_decay: float
    warmup_steps: int
    clip_norm: float
    seed: int

    def rate(self, step: int) -> float:
        """Learning rate of optimiser step `step`, counted from 0."""
        total = self.epochs * self.steps_per_epoch
        warmup = min(self.warmup_steps, total // 5)  # a short training must not end while it warms up
        warm = min(1.0, (step + 1) / max(1, warmup))
        decay = (total - step) / max(1, total - warmup)
        return self.learning_rate * min(warm, max(0.0, decay))


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch gave: mean training loss and the validation score (higher is better)."""

    epoch: int
    loss: float
    score: float


@dataclass(frozen=True)
class _Progress:
    history: tuple[EpochRecord, ...]
    best: dict[str, Tensor]


def fit(
    model: nn.Module,
    batches: Callable[[int, np.random.Generator], Iterable[Batch]],
    loss: Callable[[Batch], Tensor],
    validate: Callable[[], float],
    schedule: Schedule,
    checkpoint: Path,
    label: str,
    rate_of: Callable[[str], float] = lambda _name: 1.0,
) -> list[EpochRecord]:
    """Train `model` in place and leave it with the weights of its best validation score.

    `batches(epoch, rng)` yields `schedule.steps_per_epoch` batches; `loss(batch)` is a scalar. An
    existing `checkpoint` of the same model is continued from. `rate_of(name)` scales the learning rate
    of a parameter.
    """
    trained = [
        {"params": [parameter], "scale": rate_of(name)}
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    ]
    optimiser = torch.optim.AdamW(trained, schedule.learning_rate, weight_decay=schedule.weight_decay)
    done = _load(checkpoint, model, optimiser) or _Progress((), _copy(model))
    for epoch in range(len(done.history), schedule.epochs):
        seed = [schedule.seed, epoch]
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        losses = []
        drawn = batches(epoch, np.random.default_rng(seed))
        name = f"{label} {epoch + 1}/{schedule.epochs}"
        for index, batch in enumerate(track(drawn, schedule.steps_per_epoch, name)):
            rate = schedule.rate(epoch * schedule.steps_per_epoch + index)
            losses.append(_step(model, optimiser, loss, batch, rate, schedule.clip_norm))
        record = EpochRecord(epoch, math.fsum(losses) / max(1, len(losses)), validate())
        better = not done.history or record.score > max(past.score for past in done.history)
        done = _Progress((*done.history, record), _copy(model) if better else done.best)
        _save(checkpoint, model, optimiser, done)
        say(f"{name}: loss {record.loss:.4f}, validation {record.score:.4f}")
    model.load_state_dict(done.best)
    return list(done.history)


def _step(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss: Callable[[Batch], Tensor],
    batch: Batch,
    rate: float,
    clip_norm: float,
) -> float:
    for group in optimiser.param_groups:
        group["lr"] = rate * group["scale"]
    model.train()
    optimiser.zero_grad(set_to_none=True)
    value = loss(batch)
    value.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimiser.step()
    return float(value.detach())


def _copy(model: nn.Module) -> dict[str, Tensor]:
    """The model's state, detached and contiguous as safetensors wants it."""
    plain = torch.contiguous_format
    return {name: value.detach().clone(memory_format=plain) for name, value in model.state_dict().items()}


def _save(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, done: _Progress) -> None:
    tensors = {f"model.{name}": value for name, value in _copy(model).items()}
    tensors |= {f"best.{name}": value.clone() for name, value in done.best.items()}
    for index, slots in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{slot}": value.contiguous() for slot, value in slots.items()}
    history = [[record.epoch, record.loss, record.score] for record in done.history]
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".writing")
    try:
        save_file(tensors, aside, metadata={"history": json.dumps(history)})
    except Exception as error:
        aside.unlink(missing_ok=True)
        reason = no_room(error, path.parent)
        if reason is None:
            raise
        raise ArtifactError(f"{path.parent}: {reason}; make room and run the same command again") from error
    os.replace(aside, path)


def _load(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> _Progress | None:
    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as stored:
        history = json.loads(stored.metadata()["history"])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    model.load_state_dict(_under("model.", tensors))
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _under("optimiser.", tensors).items():
        index, slot = name.split(".", 1)
        state.setdefault(int(index), {})[slot] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    records = tuple(EpochRecord(int(epoch), loss, score) for epoch, loss, score in history)
    return _Progress(records, _under("best.", tensors))


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
