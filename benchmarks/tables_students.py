"""README's section about students, from benchmarks/results."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr
from tables_section import section

from acula_edge.evidence.markdown import table_lines
from acula_edge.evidence.results import Accuracy, Difference, Estimate
from acula_edge.evidence.tables import Cell, Table, cells
from acula_edge.evidence.text import interval, number, signed
from distill.search_page import front_table
from distill.search_result import SearchResult

# What the columns say already.
_LAST_PART = re.compile(r"^(small|base|large), |, \d+ epochs$")


def students(folder: Path) -> str:
    """Everything about students under `folder`; empty if nothing was measured."""
    parts = {
        "students.json": _families,
        "ablation_whisper-base-3.json": _ablation,
        "search.json": _search,
        "distillation.json": _speed,
        "adaptation.json": _adaptation,
    }
    return section("The students", folder, parts)


def _families(found: dict[str, Any]) -> Iterator[str]:
    accuracy, zero_shot = (Accuracy.model_validate(found[name]) for name in ("accuracy", "zero_shot"))
    yield from (
        "Each student was trained once by each lesson and scored once on the test patients "
        "([how](benchmarks/students.py), [all figures](benchmarks/results/students.json)).",
        "",
    )
    yield from (_shown(accuracy, "labels", "labels alone") + _trained_on(found["runs"]), "")
    header = ("system", "task heads", "zero-shot", "median rank", "epochs", "train s")
    rows = [
        (
            Cell(system.title),
            _estimate(system.mean),
            _estimate(next((x.mean for x in zero_shot.systems if x.system == system.system), None)),
            Cell(_rank(found["retrieval"].get(system.system))),
            *(Cell(str(found["runs"].get(system.system, {}).get(key, ""))) for key in ("epochs", "seconds")),
        )
        for system in accuracy.systems
    ]
    yield from table_lines(
        Table("Students: mean AUROC on test patients (95 % interval)", header, tuple(rows))
    )
    rows = [
        (Cell(gain.title), _difference(gain), _difference(_same(zero_shot, gain)))
        for gain in accuracy.differences
    ]
    yield from table_lines(
        Table("Paired differences in mean AUROC", ("", "task heads", "zero-shot"), tuple(rows))
    )
    yield from table_lines(_costs(found["cost"]))


def _shown(accuracy: Accuracy, lesson: str, title: str) -> str:
    """For which families distillation is shown to beat, or not to reach, a control by the task heads."""
    groups: dict[str, list[str]] = {"is better than": [], "is worse than": [], "can not be told from": []}
    for gain in accuracy.differences:
        family = gain.system.split(" ")[0]
        if gain.against == f"{family} {lesson}" and gain.mean.low is not None and gain.mean.high is not None:
            better, worse = gain.mean.low > 0, gain.mean.high < 0
            key = "is better than" if better else "is worse than" if worse else "can not be told from"
            groups[key].append(f"`{family}`")
    clauses = [f"{verb} {title} for {', '.join(names)}" for verb, names in groups.items() if names]
    return f"By the task heads distillation {'; it '.join(clauses)}."


def _costs(cost: dict[str, dict[str, Any]]) -> Table:
    header = ("student", "for", "parameters", "MMAC", "peak activations KiB", "flash KiB")
    rows = [
        cells(
            f"`{name}`",
            row["device"],
            f"{row['parameters']:,}",
            f"{row['macs'] / 1e6:.1f}",
            f"{row['peak_activation_bytes'] / 1024:.0f}",
            f"{row['flash_bytes'] / 1024:.0f}",
        )
        for name, row in cost.items()
    ]
    return Table("What a clip costs in INT8, known from the shape", header, tuple(rows))


def _trained_on(runs: dict[str, Any]) -> str:
    """The processors that the students were trained on."""
    return f" Trained on: {', '.join(sorted({run['device'] for run in runs.values()}))}."


def _ablation(found: dict[str, Any]) -> Iterator[str]:
    yield from (
        f"Terms of the loss and lengths of training, by patient-grouped {found['folds']}-fold "
        "cross-validation on train and validation patients ([how](benchmarks/ablation.py)); the test split "
        "was not opened. Each row is three trainings: differences below .02 are noise.",
        "",
    )
    rows = [
        cells(
            _LAST_PART.sub("", row["name"]),
            f"`{row['student']}`",
            str(row["epochs"]),
            *(f"{row[key]:.3f}" for key in ("heads", "zero_shot", "cosine")),
        )
        for row in sorted(found["rows"], key=lambda row: (row["student"], -row["epochs"], -row["heads"]))
    ]
    header = ("loss", "student", "epochs", "task heads", "zero-shot", "cosine to the teacher")
    yield from table_lines(Table("Ablation: mean AUROC", header, tuple(rows)))


def _search(found: dict[str, Any]) -> Iterator[str]:
    result = SearchResult.model_validate(found)
    yield from (
        "**A search within a budget** of RAM, flash and work "
        "([page with a plot](benchmarks/results/search.html), "
        f"[all trials](benchmarks/results/search.json)). {result.verdict}",
        "",
    )
    yield from table_lines(front_table(result))
    yield from (f"- {_early(result)}", "")


def _early(result: SearchResult) -> str:
    """How far the ranks of an early epoch agree with those of the last."""
    scored = [(trial.epochs, trial.score) for trial in result.trained]
    agreed = [
        float(spearmanr(*zip(*((epochs[early - 1], score) for epochs, score in scored), strict=True))[0])
        for early in (result.epochs // 3, result.epochs // 2)
    ]
    return (
        f"After {result.epochs // 3} epochs the ranks of the {len(scored)} trained students agree with the "
        f"last ones to a Spearman correlation of {agreed[0]:.2f}, after {result.epochs // 2} to "
        f"{agreed[1]:.2f}."
    )


def _speed(found: dict[str, Any]) -> Iterator[str]:
    stage, ratios = found["stage"], found["ratios_to_plain"]
    rows = [
        cells(
            system["facts"],
            f"{system['median']:.0f} ({system['least']:.0f} to {system['most']:.0f})",
            f"{ratios[name]['median']:.1f}" if name in ratios else "1.0",
        )
        for name, system in found["systems"].items()
    ]
    caption = f"Training of `{found['student']}` ([how](benchmarks/distillation.py))"
    yield from table_lines(Table(caption, ("loop", "clips/s (range)", "ratio"), tuple(rows)))
    yield from (
        f"The distill stage of the embedded default takes {stage['median']:.0f} s ({stage['least']:.0f} to "
        f"{stage['most']:.0f}).",
        "",
        *(f"- {sentence}" for sentence in found["limitations"]),
        "",
    )


def _adaptation(found: dict[str, Any]) -> Iterator[str]:
    yield from (
        "**Adaptation to a device that no training has heard**, taught by the INT8 `base` bundle without "
        "labels; scored on patients that it did not hear ([how](benchmarks/adaptation.py), "
        "[all figures](benchmarks/results/adaptation.json)).",
        "",
    )
    rows = []
    for device, own in found["devices"].items():
        accuracy = Accuracy.model_validate(own["accuracy"])
        means = {system.system: system.mean for system in accuracy.systems}
        gains = {gain.title: gain.mean for gain in accuracy.differences}
        for student in own["runs"]:
            gain = gains[f"{student}: adaptation"]
            rows.append(
                (
                    Cell(device),
                    Cell(f"`{student}`"),
                    *map(_estimate, (means[f"{student} {state}"] for state in ("shipped", "adapted"))),
                    Cell(signed(gain), interval(gain)),
                    _estimate(means["base"]),
                )
            )
    header = ("device", "student", "as shipped", "adapted", "difference", "its teacher")
    yield from table_lines(Table("Mean AUROC of two halves of the patients", header, tuple(rows)))


def _same(accuracy: Accuracy, gain: Difference) -> Difference | None:
    pairs = {(found.system, found.against): found for found in accuracy.differences}
    return pairs.get((gain.system, gain.against))


def _difference(gain: Difference | None) -> Cell:
    return Cell("") if gain is None else Cell(signed(gain.mean), interval(gain.mean))


def _estimate(found: Estimate | None) -> Cell:
    return Cell("") if found is None else Cell(number(found), interval(found))


def _rank(search: dict[str, Any] | None) -> str:
    if search is None:
        return ""
    rank = Estimate.model_validate(search["median_rank"]).value
    return f"{rank:.0f} of {search['candidates']}, chance {search['chance_median_rank']:.0f}"
