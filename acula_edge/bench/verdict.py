"""Verdict: the report's first sentence, from the numbers alone."""

from __future__ import annotations

from acula_edge.evidence.results import Accuracy, Difference
from acula_edge.evidence.text import SIMULATED, compared, difference, number


def verdict(accuracy: Accuracy, simulated: bool) -> str:
    """Whether the aligned teacher beats its base encoder, with the shuffled-report control beside it."""
    return (SIMULATED if simulated else "") + _sentence(accuracy)


def _sentence(accuracy: Accuracy) -> str:
    gain = accuracy.difference("aligned", "base")
    if gain is None or gain.mean.value is None:
        return "The aligned teacher was not compared with its base encoder."
    means = {system.system: system.mean for system in accuracy.systems}
    before, after = number(means["base"]), number(means["aligned"])
    parts = [
        f"The aligned teacher {compared(gain.mean)} its base encoder in mean test AUROC: {after} against "
        f"{before}, paired difference {difference(gain.mean)}"
    ]
    control = accuracy.difference("shuffled", "base")
    if control is not None:
        parts.append(f"the control trained with shuffled reports: {difference(control.mean)}")
    meaning = accuracy.difference("aligned", "shuffled")
    if meaning is not None:
        parts.append(f"aligned minus control: {difference(meaning.mean)}, {_meaning(meaning)}")
    return "; ".join(parts) + "."


def _meaning(meaning: Difference) -> str:
    if meaning.mean.low is not None and meaning.mean.low > 0:
        return "so the reports' meaning helps"
    return "so it is not shown that the reports' meaning helps"
