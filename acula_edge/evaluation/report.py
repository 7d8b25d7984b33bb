"""Report: an evaluation as a page, for Markdown and HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from acula_edge.encoders.teacher_model import Variant
from acula_edge.evaluation.contest import TITLES
from acula_edge.evaluation.results import Search, TeacherEvaluation
from acula_edge.evidence.charts import accuracy_chart
from acula_edge.evidence.page import Page, Section
from acula_edge.evidence.results import Accuracy, Estimate
from acula_edge.evidence.sections import accuracy_table, data_section, difference_table, provenance_table
from acula_edge.evidence.tables import Cell, Table
from acula_edge.evidence.text import ABSENT, interval, number, signed


def page_of(found: TeacherEvaluation) -> Page:
    """The whole report."""
    sections = (
        _opera(found),
        _closed_form(found),
        _zero_shot(found),
        _retrieval(found),
        _shapes(found),
        _slices(found),
        _ages(found),
        data_section(found.data),
        _limits(found),
    )
    title = "acula-edge teacher report"
    kept = tuple(section for section in sections if section.tables or section.points)
    return Page(title, found.verdict, found.notice, found.simulated, kept)


def _opera(found: TeacherEvaluation) -> Section:
    paragraphs = (
        f"Encoder {found.encoder}, language model {found.language}, loss {found.alignment}, tuning "
        f"{found.tuning}; scored on the {found.split} patients. OPERA's protocol: a linear layer on frozen "
        f"embeddings, the epoch chosen on validation, mean over {found.probe_seeds} seeds. "
        + _resampled(found.opera_probe),
        *found.shifts,
    )
    return Section(
        "Linear probe, OPERA's protocol",
        paragraphs,
        chart=accuracy_chart(found.opera_probe),
        tables=_scores(found.opera_probe),
    )


def _closed_form(found: TeacherEvaluation) -> Section:
    paragraph = (
        "Logistic regression on standardised embeddings, its strength chosen on validation; these are the "
        "probes that the teacher's artifact holds. " + _resampled(found.closed_form)
    )
    chart = accuracy_chart(found.closed_form)
    return Section("Linear probe, closed form", (paragraph,), chart=chart, tables=_scores(found.closed_form))


def _zero_shot(found: TeacherEvaluation) -> Section:
    if found.zero_shot is None:
        return Section("Zero-shot")
    paragraph = (
        "No probe: a recording belongs to the class whose mean training report it points to, in the space "
        "of the projection heads. The shuffled-reports control has heads and prototypes of its own. "
        + _resampled(found.zero_shot)
    )
    return Section("Zero-shot, by text prototypes", (paragraph,), tables=_scores(found.zero_shot))


def _scores(accuracy: Accuracy) -> tuple[Table, ...]:
    return accuracy_table(accuracy), difference_table(accuracy)


def _resampled(accuracy: Accuracy) -> str:
    return (
        f"95 % intervals from {accuracy.resamples} resamples of the patients, the same for all encoders, so "
        "that differences are paired."
    )


def _retrieval(found: TeacherEvaluation) -> Section:
    paragraph = (
        "By cosine in the space of the projection heads; recordings with the same report share it. A low "
        "median rank is good. 95 % "
        "intervals from leaving out parts of the patients (jackknife)."
    )
    rows = [_searched(search) for search in found.retrieval]
    rows += [_gained(search) for search in found.retrieval if search.system == Variant.ALIGNED]
    header = ("direction", *(figure.name for search in found.retrieval[:1] for figure in search.figures))
    return Section("Retrieval", (paragraph,), tables=_tables("Retrieval (95 % interval)", header, rows))


def _searched(search: Search) -> tuple[Cell, ...]:
    label = Cell(f"{TITLES[search.system]}, {search.direction}", f"{search.candidates} candidates")
    return (label, *(_against(figure.value, figure.chance) for figure in search.figures))


def _gained(search: Search) -> tuple[Cell, ...]:
    label = Cell(f"aligned minus shuffled, {search.direction}")
    return (label, *(_gain(figure.gain) for figure in search.figures))


def _shapes(found: TeacherEvaluation) -> Section:
    paragraph = (
        "An encoder that has collapsed has a low effective rank and a mean cosine near 1. CKA is linear, "
        "between 0 and 1. Intervals by jackknife over patients."
    )
    rows = [
        (
            Cell(shape.title),
            *map(_cell, (shape.effective_rank, shape.mean_cosine, shape.cka_base)),
            _cell(shape.cka_reports) if shape.cka_reports else Cell(ABSENT),
        )
        for shape in found.shapes
    ]
    header = ("encoder", "effective rank", "mean cosine", "CKA with base", "CKA with reports")
    return Section("Geometry", (paragraph,), tables=_tables("Geometry (95 % interval)", header, rows))


def _slices(found: TeacherEvaluation) -> Section:
    names = _names(found.slices[0].systems if found.slices else {})
    rows = [
        (
            Cell(part.name, _size(part.recordings, part.patients, len(part.tasks))),
            *(_cell(part.systems[name]) for name in names),
            _gain(part.gain),
        )
        for part in found.slices
    ]
    header = ("part", *(TITLES[name] for name in names), "aligned minus base")
    paragraph = (
        "Mean AUROC of OPERA's probe over the tasks that a part can score; parts differ in their tasks, so "
        "compare along a row."
    )
    return Section(
        "Whom it serves",
        (paragraph,),
        points=tuple(f"Not scored: {name}, {why}." for name, why in found.slices_left_out.items()),
        tables=_tables("Mean AUROC (95 % interval)", header, rows),
    )


def _ages(found: TeacherEvaluation) -> Section:
    names = _names(found.ages[0].systems if found.ages else {})
    rows = [
        (
            Cell(age.dataset, f"{age.recordings} recordings, {age.patients} patients"),
            Cell(f"{age.mean_guess:.3f}"),
            *(_cell(age.systems[name]) for name in names),
            _gain(age.gain),
        )
        for age in found.ages
    ]
    header = ("data set", "guessing the mean", *(TITLES[name] for name in names), "aligned minus base")
    paragraph = (
        "Ridge regression on frozen embeddings, each patient predicted from the others; lower is better."
    )
    return Section(
        "Age", (paragraph,), tables=_tables("Mean absolute error in years (95 % interval)", header, rows)
    )


def _limits(found: TeacherEvaluation) -> Section:
    provenance = provenance_table(found.parents, found.data)
    return Section("Limitations and provenance", points=found.limitations, tables=(provenance,))


def _size(recordings: int, patients: int, tasks: int) -> str:
    return f"{recordings} recordings, {patients} patients, {tasks} tasks"


def _against(value: Estimate, chance: float) -> Cell:
    found = (interval(value), f"chance {chance:.3f}")
    return Cell(number(value), "; ".join(filter(None, found)))


def _names(systems: Mapping[str, Estimate]) -> list[str]:
    return [name for name in TITLES if name in systems]


def _cell(value: Estimate) -> Cell:
    return Cell(number(value), interval(value))


def _gain(value: Estimate | None) -> Cell:
    return Cell(signed(value), interval(value, "+")) if value else Cell(ABSENT)


def _tables(caption: str, header: tuple[str, ...], rows: Iterable[tuple[Cell, ...]]) -> tuple[Table, ...]:
    found = tuple(rows)
    return (Table(caption, header, found),) if found else ()
