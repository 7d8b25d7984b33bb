"""Results: what was found about a teacher, as the typed values behind its report.json."""

from __future__ import annotations

from acula_edge.artifact import Parent
from acula_edge.data.recording import Split
from acula_edge.evidence.facts import DataFacts
from acula_edge.evidence.results import Accuracy, Estimate, Frozen


class Shape(Frozen):
    """How one encoder's embeddings lie in their space, and whom they resemble.

    `reports` is None where no recording has a report.
    """

    system: str
    title: str
    effective_rank: Estimate
    mean_cosine: Estimate
    cka_base: Estimate
    cka_reports: Estimate | None


class Found(Frozen):
    """One figure of a search, what candidates in random order give, and how it exceeds the control's."""

    name: str
    value: Estimate
    chance: float
    gain: Estimate


class Search(Frozen):
    """Retrieval by one encoder in one direction among `candidates`: R@1, R@5, R@10 and the median rank."""

    system: str
    direction: str
    candidates: int
    figures: tuple[Found, ...]


class SliceScores(Frozen):
    """Mean AUROC over the tasks that a part of the patients can score, and aligned minus base."""

    name: str
    recordings: int
    patients: int
    tasks: tuple[str, ...]
    systems: dict[str, Estimate]
    gain: Estimate | None


class AgeError(Frozen):
    """Mean absolute error in years of a ridge regression that never saw the patient; lower is better.

    `mean_guess` is the error of guessing the mean age of the other patients.
    """

    dataset: str
    recordings: int
    patients: int
    mean_guess: float
    systems: dict[str, Estimate]
    gain: Estimate


class TeacherEvaluation(Frozen):
    """report.json: everything that is known about one teacher on the patients of one split.

    `slices_left_out` says of each part that was too small to be scored, why.
    """

    verdict: str
    notice: str
    simulated: bool
    split: Split
    encoder: str
    language: str
    alignment: str
    tuning: str
    probe_seeds: int
    opera_probe: Accuracy
    closed_form: Accuracy
    zero_shot: Accuracy | None
    shifts: tuple[str, ...]
    retrieval: tuple[Search, ...]
    shapes: tuple[Shape, ...]
    slices: tuple[SliceScores, ...]
    slices_left_out: dict[str, str]
    ages: tuple[AgeError, ...]
    data: DataFacts
    limitations: tuple[str, ...]
    parents: tuple[Parent, ...]
