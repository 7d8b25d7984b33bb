"""What a search found: `search.json`, and the trials that it holds."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from pydantic import BaseModel, ConfigDict

from acula_edge.contract import AudioContract
from acula_edge.students.budget import Budget
from acula_edge.students.config import StudentConfig
from acula_edge.students.plan import plan_of
from distill.pareto import pareto_front
from distill.search_space import Choice


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class State(StrEnum):
    """How a trial ended; only the first kind was trained to its end."""

    TRAINED = "trained"
    STOPPED = "stopped"
    REPEATED = "repeated"
    OVER_BUDGET = "over budget"


class Needs(_Frozen):
    """What a student asks of its device.

    `ram_bytes` are the peak of its activations and the features of a clip, all INT8: while one clip is
    computed, the features of the next arrive.
    """

    parameters: int
    macs: int
    ram_bytes: int
    flash_bytes: int

    @classmethod
    def of(cls, student: StudentConfig, contract: AudioContract, n_logits: int) -> Needs:
        """From the shape alone, before any training."""
        plan = plan_of(student, contract.n_mels, contract.n_frames, n_logits)
        ram = plan.ram_bytes + contract.n_mels * contract.n_frames
        return cls(parameters=plan.parameters, macs=plan.macs, ram_bytes=ram, flash_bytes=plan.flash_bytes)

    @property
    def costs(self) -> tuple[int, int, int]:
        """What the front weighs against AUROC: MACs, RAM and flash."""
        return self.macs, self.ram_bytes, self.flash_bytes

    def excess(self, budget: Budget) -> dict[str, float]:
        """By how much of itself each limit is passed: `ram`, `flash`, `mmac`; at most 0 where it is kept."""
        pairs = {
            "ram": (self.ram_bytes, budget.ram_bytes),
            "flash": (self.flash_bytes, budget.flash_bytes),
            "mmac": (self.macs / 1e6, budget.mmac),
        }
        return {name: needed / limit - 1 for name, (needed, limit) in pairs.items() if limit is not None}


class TrialRecord(_Frozen):
    """One point that the search looked at.

    `over` names the limits that it breaks. `epochs` holds the mean AUROC over the tasks of the validation
    patients after each epoch, `score` the settled one, or the last of a trial that was stopped.
    """

    index: int
    state: State
    choice: Choice
    needs: Needs
    over: tuple[str, ...] = ()
    score: float | None = None
    epochs: tuple[float, ...] = ()


class SearchResult(_Frozen):
    """`search.json`. `front` and `best` are the `index` of trials; every AUROC is of validation patients."""

    verdict: str
    notice: str
    simulated: bool
    budget: Budget
    seed: int
    epochs: int
    front: tuple[int, ...]
    best: int
    trials: tuple[TrialRecord, ...]

    def trial(self, index: int) -> TrialRecord:
        """The trial of that index."""
        return self.trials[index]

    @property
    def trained(self) -> list[TrialRecord]:
        """The trials that were trained to the end."""
        return [trial for trial in self.trials if trial.state is State.TRAINED]


def settled_score(epochs: Sequence[float]) -> float:
    """The mean over the last third of a training's validation scores.

    The best epoch would rank shapes by luck: with few validation patients one of them shines by chance,
    an early one too.
    """
    return float(np.mean(epochs[-max(1, len(epochs) // 3) :]))


def count(trials: Sequence[TrialRecord], state: State) -> int:
    """How many of `trials` ended so."""
    return sum(trial.state is state for trial in trials)


def broken(trials: Sequence[TrialRecord]) -> dict[str, int]:
    """How many trials break each limit of the budget; one that breaks two counts for both."""
    found: dict[str, int] = {}
    for trial in trials:
        for name in trial.over:
            found[name] = found.get(name, 0) + 1
    return found


def front_of(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trained trials that no other beats in AUROC, MACs, RAM and flash at once; the best AUROC first."""
    scored = [(trial.score, trial) for trial in trials if trial.score is not None]
    trained = [(score, trial) for score, trial in scored if trial.state is State.TRAINED]
    kept = pareto_front([(-score, *trial.needs.costs) for score, trial in trained])
    best_first = sorted((trained[index] for index in kept), key=lambda pair: (-pair[0], pair[1].index))
    return [trial for _, trial in best_first]
