"""SearchStudy: Optuna's study of one search, in an SQLite file that outlives a kill.

A trial's point is a function of the seed, the trial's number among the ended ones, and those. What a kill
left open is marked as failed, does not count, and is asked for again: the same point comes, so that a
search that was killed tries what an undisturbed one tries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from acula_edge.errors import ArtifactError, missing_extra
from distill.search_result import State, TrialRecord
from distill.search_space import START, TABLE, Choice

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import Trial

_NAME, _MADE_OF, _RECORD = "search", "made_of", "record"
_DIRECTIONS: tuple[Literal["maximize", "minimize"], ...] = ("maximize", "minimize", "minimize", "minimize")
_RANDOM_TRIALS = 24  # looked at, before the sampler learns from what was found


@dataclass(frozen=True)
class Asked:
    """A trial under way: its number among the ended ones, and its point."""

    index: int
    choice: Choice
    trial: Trial


class SearchStudy:
    """Asks for points and is told what they gave: AUROC (to be large), MACs, RAM and flash (small)."""

    def __init__(self, study: Study, seed: int) -> None:
        self._study, self._seed = study, seed

    @classmethod
    def open(cls, file: Path, made_of: Mapping[str, str], seed: int) -> SearchStudy:
        """The study in `file`, made if there is none; what a kill left open is marked as failed.

        `made_of` names what the scores depend on. Raises ArtifactError for a study that was made of
        something else or a file that holds none, ToolError if Optuna is not installed.
        """
        try:
            import optuna
            from sqlalchemy.exc import SQLAlchemyError
        except ModuleNotFoundError:
            raise missing_extra("optuna", "search") from None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            study = optuna.create_study(
                storage=f"sqlite:///{file}", study_name=_NAME, directions=_DIRECTIONS, load_if_exists=True
            )
        except (SQLAlchemyError, RuntimeError):
            raise ArtifactError(f"{file} holds no study of a search; remove it to start afresh") from None
        _refuse_another(study, file, made_of)
        for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        return cls(study, seed)

    def trials(self) -> list[TrialRecord]:
        """Every trial that has ended, in order."""
        found = (trial.user_attrs for trial in self._study.get_trials(deepcopy=False, states=_ended()))
        return [TrialRecord.model_validate(attributes[_RECORD]) for attributes in found]

    def ask(self) -> Asked:
        """The next point; the first one is the hand-made student that every search begins with."""
        from optuna.distributions import IntDistribution
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        index = len(self._study.get_trials(deepcopy=False, states=_ended()))
        if index == 0 and not self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self._study.enqueue_trial(START)
        place = np.random.SeedSequence([self._seed, index]).generate_state(1)[0]
        self._study.sampler = TPESampler(n_startup_trials=_RANDOM_TRIALS, seed=int(place))
        trial = self._study.ask({name: IntDistribution(0, len(rows) - 1) for name, rows in TABLE.items()})
        return Asked(index, Choice.of(trial.params), trial)

    def tell(self, asked: Asked, record: TrialRecord, excess: Mapping[str, float]) -> None:
        """End a trial; `excess` says by how much of itself each limit of the budget is passed."""
        from optuna.trial import TrialState

        for name, value in excess.items():
            asked.trial.set_constraint(name, value)
        asked.trial.set_user_attr(_RECORD, record.model_dump(mode="json"))
        if record.state is State.TRAINED and record.score is not None:
            self._study.tell(asked.trial, [record.score, *record.needs.costs])
        else:
            self._study.tell(asked.trial, state=TrialState.PRUNED)


def _ended() -> Sequence[Any]:
    from optuna.trial import TrialState

    return TrialState.COMPLETE, TrialState.PRUNED


def _refuse_another(study: Study, file: Path, made_of: Mapping[str, str]) -> None:
    stored = study.user_attrs.get(_MADE_OF)
    if stored is None:
        study.set_user_attr(_MADE_OF, dict(made_of))
        return
    changed = [name for name, value in made_of.items() if stored.get(name) != value]
    if changed:
        raise ArtifactError(
            f"{file} is a search with another {' and another '.join(changed)}; give another --out, or remove "
            "the file to start afresh"
        )
