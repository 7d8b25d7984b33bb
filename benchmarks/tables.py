"""Write README's results from benchmarks/results: reports of builds, and the reference points.

    python benchmarks/tables.py [--check]

Each file in `reports/` is a `report.json` that a build delivered. `--check` writes nothing, and exits
with 1 if README.md is not up to date.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from acula_edge.bench.report import Report
from acula_edge.bench.sections import timing_table
from acula_edge.evidence.markdown import table_lines
from acula_edge.evidence.sections import accuracy_table

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- results:begin -->\n", "<!-- results:end -->"


def results(folder: Path) -> str:
    """The Markdown between the markers: a section for each report, then the reference points."""
    sections = [_section(path) for path in sorted((folder / "reports").glob("*.json"))]
    points = folder / "reference_points.json"
    if points.is_file():
        sections.append(_reference(json.loads(points.read_text(encoding="utf-8"))))
    return "\n".join(sections) or "No results yet: see [benchmarks/RULES.md](benchmarks/RULES.md).\n"


def updated(text: str, block: str) -> str:
    """`text` with `block` between its markers."""
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"README.md lacks the markers {BEGIN.strip()} and {END}")
    return before + BEGIN + block + END + after


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
        *(f"- {sentence}" for sentence in report.limitations),
    ]
    return "\n".join(lines) + "\n"


def _reference(found: dict[str, Any]) -> str:
    rows = [
        f"| {task} | {value:.3f} | {found['auroc'][task]:.3f} |" for task, value in found["reference"].items()
    ]
    lines = [
        "### Is the harness right?",
        "",
        "Before anything is trained, the frozen base encoder is scored against known values. Their "
        "source leaves parts of the protocol open; of about twenty variants the best fitting one is shown. "
        f"It meets them within {found['largest_difference']:.3f} AUROC "
        "([how](benchmarks/reference_points.py), [result](benchmarks/results/reference_points.json)).",
        "",
        "| task | reference AUROC | here |",
        "| --- | --- | --- |",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Update README.md, or check it."""
    text = README.read_text(encoding="utf-8")
    fresh = updated(text, results(RESULTS))
    if "--check" in sys.argv[1:]:
        raise SystemExit(0 if fresh == text else "README.md is old: run python benchmarks/tables.py")
    README.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    main()
