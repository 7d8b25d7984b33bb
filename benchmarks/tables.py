"""Write README's results from benchmarks/results: reports of builds, students, teachers, reference points.

    python benchmarks/tables.py [--check]

Each file in `reports/` is a `report.json` that a build delivered, each in `teachers/` one that
`acula-edge teacher eval` wrote. `--check` writes nothing, and exits
with 1 if README.md is not up to date.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tables_arm64 import arm64
from tables_firmware import firmware
from tables_firmware_paths import firmware_paths
from tables_gpu import gpu
from tables_int8 import int8
from tables_runtime import older_runtime
from tables_students import students

from acula_edge.bench.advice import advice
from acula_edge.bench.report import Report
from acula_edge.bench.sections import timing_table
from acula_edge.evaluation.results import Search, TeacherEvaluation
from acula_edge.evidence.markdown import table_lines
from acula_edge.evidence.results import Accuracy, Estimate
from acula_edge.evidence.sections import accuracy_table
from acula_edge.evidence.tables import Cell, Table, cells
from acula_edge.evidence.text import interval, number, signed

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"


def results(folder: Path) -> str:
    """The Markdown between the markers: each report, students, teachers, then the reference points."""
    sections = [_section(path) for path in sorted((folder / "reports").glob("*.json"))]
    parts = (students, int8, arm64, older_runtime, firmware, firmware_paths, _teachers, gpu)
    sections += [section for part in parts if (section := part(folder))]
    points = folder / "reference_points.json"
    if points.is_file():
        aligned = folder / "reference_aligned.json"
        sections.append(
            _reference(*(json.loads(file.read_text(encoding="utf-8")) for file in (points, aligned)))
        )
    return "\n".join(sections) or "No results yet: see [benchmarks/RULES.md](benchmarks/RULES.md).\n"


def headline(folder: Path) -> str:
    """What the INT8 student of the real build and its control reach, in a sentence; empty before a build."""
    report, students_file = folder / "reports" / "auscultation.json", folder / "students.json"
    if not (report.is_file() and students_file.is_file()):
        return ""
    built = Report.model_validate_json(report.read_text(encoding="utf-8"))
    known = json.loads(students_file.read_text(encoding="utf-8"))["accuracy"]
    means = {system.system: system.mean for system in built.accuracy.systems}
    gain = next(
        found
        for found in Accuracy.model_validate(known).differences
        if (found.system, found.against) == ("small distilled", "small labels")
    )
    file = next(timing for timing in built.performance.timings if timing.file == "model.pte")
    return (
        f"On public recordings of patients that no stage had seen, its INT8 student of "
        f"{file.size_bytes / 1024:.0f} KiB reaches a mean AUROC of {number(means['int8_pte'])} "
        f"({interval(means['int8_pte'])}) over {len(built.accuracy.systems[0].tasks)} tasks, its teacher "
        f"{number(means['aligned'])}. Distillation gains {signed(gain.mean)} ({interval(gain.mean, '+')}) "
        "over the same network trained on labels alone. [All results](#results).\n"
    )


def updated(text: str, name: str, block: str) -> str:
    """`text` with `block` between the markers `name`."""
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"README.md lacks the markers {begin.strip()} and {end}")
    return before + begin + block + end + after


def refreshed(text: str, folder: Path) -> str:
    """The README `text` with what the result files in `folder` say."""
    return updated(updated(text, "headline", headline(folder)), "results", results(folder))


def _section(path: Path) -> str:
    report = Report.model_validate_json(path.read_text(encoding="utf-8"))
    performance = report.performance
    lines = [
        f"### {path.stem}",
        "",
        report.verdict,
        "",
        *table_lines(accuracy_table(report.accuracy)),
        f"One clip of {performance.clip_seconds:g} s on {performance.device}; {performance.runs} runs each, "
        f"every sample in [{path.name}](benchmarks/results/reports/{path.name}).",
        "",
        *table_lines(timing_table(performance.timings)),
        *(f"- {sentence}" for sentence in (*advice(performance), *report.limitations)),
    ]
    return "\n".join(lines) + "\n"


def _reference(found: dict[str, Any], aligned: dict[str, Any]) -> str:
    known, ours = found["reference"], found["auroc"]
    columns = [(f"{name}, reference", known[name]) for name in known]
    columns += [(f"{name}, here", ours[name]) for name in ours]
    columns += [
        (f"{name}, aligned: {lesson}", values)
        for name, lessons in aligned["auroc"].items()
        for lesson, values in lessons.items()
    ]
    rows = [[task, *(f"{values[task]:.3f}" for _, values in columns)] for task in next(iter(known.values()))]
    rows.append(["mean", *(f"{np.mean(list(values.values())):.3f}" for _, values in columns)])
    table = Table("AUROC", ("task", *(name for name, _ in columns)), tuple(cells(*row) for row in rows))
    lines = [
        "### Is the harness right?",
        "",
        "Before anything is trained, frozen encoders are scored against known values. Their "
        "source leaves parts of the protocol open; of about twenty variants the best fitting one is shown. "
        f"It meets openWakeWord's within {found['largest_difference']:.3f} AUROC "
        "([how](benchmarks/reference_points.py), [result](benchmarks/results/reference_points.json)).",
        "",
        *table_lines(table),
        "`fast` columns hear so much faster that the device's band fills the encoder's. The last columns are "
        "encoders that were aligned anew within each fold, fast if nothing else is said "
        "([how](benchmarks/reference_aligned.py)).",
        "",
    ]
    return "\n".join(lines)


def _teachers(folder: Path) -> str:
    """Everything about teachers under `folder`; empty if nothing was measured."""
    lines = [
        *_evaluations(sorted((folder / "teachers").glob("*.json"))),
        *_sweeps(sorted(folder.glob("sweep_*.json"))),
        *_speed(folder / "alignment.json"),
    ]
    return "\n".join(["### The teacher", "", *lines]) + "\n" if lines else ""


def _evaluations(files: Sequence[Path]) -> Iterator[str]:
    for file in files:
        found = TeacherEvaluation.model_validate_json(file.read_text(encoding="utf-8"))
        yield from (f"**{found.encoder}, {found.language}.** {found.verdict}", "")
        yield from table_lines(_variants(file.stem, found))
        yield from (*found.shifts, *([""] if found.shifts else []))
        yield from (f"All figures: [{file.name}](benchmarks/results/teachers/{file.name}).", "")


def _variants(name: str, found: TeacherEvaluation) -> Table:
    ranks = {shape.system: shape.effective_rank.value for shape in found.shapes}
    searches = {(search.system, search.direction): search for search in found.retrieval}
    rows = [
        (
            Cell(system.title),
            _mean(found.opera_probe, system.system),
            _mean(found.closed_form, system.system),
            _mean(found.zero_shot, system.system),
            Cell(_median_rank(searches.get((system.system, "recording to report")))),
            Cell(f"{ranks[system.system]:.1f}"),
        )
        for system in found.closed_form.systems
    ]
    header = ("encoder", "OPERA's probe", "closed-form probe", "zero-shot", "median rank", "effective rank")
    return Table(f"{name}: mean AUROC on {found.split} patients (95 % interval)", header, tuple(rows))


def _mean(accuracy: Accuracy | None, system: str) -> Cell:
    systems = {} if accuracy is None else {found.system: found.mean for found in accuracy.systems}
    return _cell(systems[system]) if system in systems else Cell("")


def _cell(estimate: Estimate) -> Cell:
    return Cell(number(estimate), interval(estimate))


def _median_rank(search: Search | None) -> str:
    if search is None:
        return ""
    found = next(figure for figure in search.figures if figure.name == "median rank")
    return f"{found.value.value:.0f} of {search.candidates}, chance {found.chance:.0f}"


def _sweeps(files: Sequence[Path]) -> Iterator[str]:
    if not files:
        return
    yield from (
        "Recipes were compared by patient-grouped 3-fold cross-validation on train and validation patients "
        "([how](benchmarks/sweep.py)); the test split was not opened. Differences below .01 are noise.",
        "",
    )
    for file in files:
        sweep = json.loads(file.read_text(encoding="utf-8"))
        base = next(row["mean"] for row in sweep["rows"] if row["name"] == "base")
        rows = [
            cells(row["name"], f"{row['mean']:.3f}", signed(_plain(row["mean"] - base)))
            for row in sorted(sweep["rows"], key=lambda row: -row["mean"])
        ]
        caption = f"{sweep['encoder']}: mean AUROC of the closed-form probe"
        yield from table_lines(Table(caption, ("recipe", "AUROC", "against base"), tuple(rows)))


def _plain(value: float) -> Estimate:
    return Estimate(value=value, low=None, high=None, degenerate=0)


def _speed(file: Path) -> Iterator[str]:
    if not file.is_file():
        return
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    plain = found["systems"]["plain"]["clips_per_s"]
    rows = []
    for system in found["systems"].values():
        seconds = np.array(system["step_s"])
        spread = f"{1000 * np.median(seconds):.0f} ({1000 * seconds.min():.0f} to {1000 * seconds.max():.0f})"
        speed, ratio = f"{system['clips_per_s']:.0f}", f"{system['clips_per_s'] / plain:.1f}"
        rows.append(
            cells(
                system["facts"], str(system["processes"]), speed, ratio, spread, f"{system['peak_mib']:.0f}"
            )
        )
    header = ("loop", "processes", "clips/s", "ratio", "ms a step (range)", "peak MiB")
    caption = (
        f"Alignment of {found['encoder']}, {found['batch_size']} clips of {found['crop_seconds']:g} s a step"
    )
    yield from table_lines(Table(caption, header, tuple(rows)))
    yield from (*(f"- {sentence}" for sentence in found["limitations"]), "")


def main() -> None:
    """Update README.md, or check it."""
    text = README.read_text(encoding="utf-8")
    fresh = refreshed(text, RESULTS)
    if "--check" in sys.argv[1:]:
        raise SystemExit(0 if fresh == text else "README.md is old: run python benchmarks/tables.py")
    README.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    main()
