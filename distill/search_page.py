"""The page of a search: the Pareto front as table and chart, and what the numbers do not say."""

from __future__ import annotations

from collections.abc import Sequence

from acula_edge.artifact import Parent
from acula_edge.evidence.facts import DataFacts
from acula_edge.evidence.page import Page, Section
from acula_edge.evidence.sections import provenance_table
from acula_edge.evidence.tables import Table, cells
from acula_edge.evidence.text import SIMULATED, kibibytes
from acula_edge.students.budget import Budget
from distill.search_chart import front_chart
from distill.search_result import SearchResult, State, TrialRecord, broken, count

HEADER = ("trial", "AUROC", "MMAC", "RAM KiB", "flash KiB", "k parameters")
_LIMITS = (
    "AUROC is the mean over the tasks on the validation patients, and over the last third of the epochs of a "
    "short training: it ranks shapes, and is too high for the ones that were chosen by it. The test patients "
    "were not opened.",
    "MACs, RAM and flash are counted from the shape, for the INT8 network; RAM is the peak of the "
    "activations, and the features of a clip. Runtime, program and front end come on top.",
    "Each shape was trained once: two close scores may change places with another seed.",
)


def verdict_of(front: Sequence[TrialRecord], trials: Sequence[TrialRecord], simulated: bool) -> str:
    """The first sentences of the page: what is best, and how it stands to the hand-made first trial."""
    best, first = front[0], trials[0]
    sentence = (
        f"Best of {count(trials, State.TRAINED)} trained students within the budget: trial {best.index}, "
        f"{best.choice.front_end}, mean AUROC {_score(best)} on the validation patients, "
        f"{best.needs.macs / 1e6:.2f} MMAC, {kibibytes(best.needs.ram_bytes)} KiB RAM, "
        f"{kibibytes(best.needs.flash_bytes)} KiB flash; {len(front)} stand on the Pareto front."
    )
    if best.index == first.index:
        sentence += " It is the hand-made shape that the search began with."
    elif first.state is State.TRAINED:
        sentence += f" The hand-made shape that the search began with has {_score(first)}."
    return (SIMULATED if simulated else "") + sentence


def page_of(result: SearchResult, parents: tuple[Parent, ...], data: DataFacts) -> Page:
    """The whole page."""
    front = Section(
        "Pareto front",
        (
            "No other trained student has at once a higher AUROC and fewer MACs, less RAM and less flash. "
            f"Budget: {_limits(result.budget)}. {result.epochs} epochs each, seed {result.seed}.",
        ),
        chart=front_chart(result),
        tables=(front_table(result),),
    )
    looked = Section("What was looked at", points=_counts(result.trials))
    limits = Section("Limits", points=_LIMITS, tables=(provenance_table(parents, data),))
    sections = (front, looked, limits)
    return Page("acula-edge search", result.verdict, result.notice, result.simulated, sections)


def front_table(result: SearchResult) -> Table:
    """The front, the best AUROC first."""
    trials = map(result.trial, result.front)
    rows = tuple(
        cells(str(trial.index), trial.choice.front_end, trial.choice.shape, *figures(trial))
        for trial in trials
    )
    header = ("trial", "front end", "student", *HEADER[1:])
    return Table("Pareto front (validation patients)", header, rows, labels=3)


def figures(trial: TrialRecord) -> tuple[str, ...]:
    """AUROC, MMAC, KiB of RAM and flash, and thousands of parameters, as texts."""
    needs = trial.needs
    return (
        _score(trial),
        f"{needs.macs / 1e6:.2f}",
        kibibytes(needs.ram_bytes),
        kibibytes(needs.flash_bytes),
        f"{needs.parameters / 1e3:.1f}",
    )


def _score(trial: TrialRecord) -> str:
    return "n/a" if trial.score is None else f"{trial.score:.3f}"


def _limits(budget: Budget) -> str:
    limits = {
        "RAM": budget.ram_bytes and f"{kibibytes(budget.ram_bytes)} KiB",
        "flash": budget.flash_bytes and f"{kibibytes(budget.flash_bytes)} KiB",
        "work": budget.mmac and f"{budget.mmac:g} MMAC a clip",
    }
    return ", ".join(f"{name} {limit}" for name, limit in limits.items() if limit)


def _counts(trials: Sequence[TrialRecord]) -> tuple[str, ...]:
    over = ", ".join(f"{name} {times}" for name, times in broken(trials).items())
    sentences = {
        State.TRAINED: "trained to the end",
        State.STOPPED: "stopped in training, below the median of those that cost no more",
        State.REPEATED: "not trained: the same as one before",
        State.OVER_BUDGET: f"not trained: over the budget ({over})",
    }
    counted = {state: count(trials, state) for state in sentences}
    return tuple(f"{number} {sentences[state]}." for state, number in counted.items() if number)
