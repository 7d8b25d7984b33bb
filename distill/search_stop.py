"""When a trial is not worth its last epochs."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from distill.search_result import Needs, State, TrialRecord

_LEAST_RIVALS = 4  # a median of fewer says little
_LEAST_SHARE = 1 / 3  # of the epochs: the first ones say little


def hopeless(score: float, ended: int, epochs: int, needs: Needs, trials: Sequence[TrialRecord]) -> bool:
    """Whether a trial with this validation score after `ended` of its `epochs` should end now.

    The median rule (Golovin et al., "Google Vizier", KDD 2017) among the rivals that a front would prefer:
    the score lies below the median of those, after as many epochs, of the trained trials that cost no
    more, in MACs, RAM and flash alike. A cheap student is so never stopped for being weaker than large
    ones.
    """
    rivals = [
        trial.epochs[ended - 1]
        for trial in trials
        if trial.state is State.TRAINED
        and all(its <= own for its, own in zip(trial.needs.costs, needs.costs, strict=True))
    ]
    soon = ended < _LEAST_SHARE * epochs
    return not soon and len(rivals) >= _LEAST_RIVALS and score < median(rivals)
