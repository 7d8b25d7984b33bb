"""Limits: what the numbers of a report do not say."""

from __future__ import annotations

from acula_edge.evidence.results import Accuracy


def limitations(accuracy: Accuracy, simulated: bool) -> tuple[str, ...]:
    """What has to be known to read the scores."""
    unnamed = [cohort.task for cohort in accuracy.cohorts if not cohort.patients_named]
    degenerate, single = _degenerate(accuracy), _not_averaged(accuracy)
    sentences = {
        "The recordings are simulated: the scores show that the line works, and say nothing about "
        "patients.": simulated,
        "The test patients come from the same collections as the training patients: results elsewhere "
        "can be worse.": True,
        "Intervals cover the choice of test patients; each model was trained once, so that chance in "
        "training is not in them.": True,
        f"The sources of {', '.join(unnamed)} do not name all patients: recordings were drawn instead, and "
        "those intervals may be too narrow.": bool(unnamed),
        f"Too few patients for an interval, and so not in the mean: {', '.join(single)}.": bool(single),
        f"Resamples without one of the classes were left out: {', '.join(degenerate)} of "
        f"{accuracy.resamples}.": bool(degenerate),
    }
    return tuple(sentence for sentence, applies in sentences.items() if applies)


def _not_averaged(accuracy: Accuracy) -> list[str]:
    first = accuracy.systems[0]
    valued = (name for name, found in first.tasks.items() if found.value is not None)
    return [name for name in valued if name not in first.averaged]


def _degenerate(accuracy: Accuracy) -> list[str]:
    # The same resamples are used for every system: the first one tells.
    first = accuracy.systems[0]
    return [f"{name} {found.degenerate}" for name, found in first.tasks.items() if found.degenerate]
