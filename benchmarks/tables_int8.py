"""README's section about INT8, from benchmarks/results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tables_section import section

from acula_edge.evidence.markdown import table_lines
from acula_edge.evidence.results import Estimate
from acula_edge.evidence.tables import Cell, Table, cells
from acula_edge.evidence.text import interval, kibibytes, number, signed

_RUNTIMES = {"model.pte": ".pte", "model.tflite": ".tflite"}
_WAYS = ("default", "tuned", "QAT")
_WORKS = "works"


def int8(folder: Path) -> str:
    """Everything about INT8 under `folder`; empty if nothing was measured."""
    parts = {
        "int8.json": _accuracy,
        "pareto.json": _pareto,
        "calibration_curve.json": _curve,
        "schemes.json": _schemes,
    }
    return section("INT8", folder, parts)


def _accuracy(found: dict[str, Any]) -> Iterator[str]:
    yield from (
        "Each student was quantised by the defaults, by tuning and by QAT, chosen on validation patients, "
        f"and scored once on {found['recordings']} test recordings of {found['patients']} patients "
        "([how](benchmarks/int8.py), [all figures](benchmarks/results/int8.json)).",
        "",
        *_goals(found),
        "",
    )
    rows = [
        _accuracy_row(name, way, file, family)
        for name, family in found["families"].items()
        for way in _WAYS
        if "files" in family["ways"][way]
        for file in _RUNTIMES
    ]
    header = (
        *("student", "INT8 by", "file", "float AUROC", "INT8 less float (95 % interval)"),
        *("lower end, one-sided", "CKA", "10 neighbours kept", "KiB"),
    )
    yield from table_lines(Table("INT8 against float: mean AUROC on test patients", header, tuple(rows), 3))
    yield from (*(f"- {sentence}" for sentence in _notes(found)), "")


def _accuracy_row(name: str, way: str, file: str, family: Mapping[str, Any]) -> tuple[Cell, ...]:
    row, gain = family["ways"][way]["files"][file], _estimate(family["ways"][way]["files"][file]["gain"])
    return (
        *cells(f"`{name}`", way, _RUNTIMES[file], number(_estimate(family["float"]["auroc"]))),
        Cell(f"{gain.value:+.4f}", interval(gain, "+")),
        *cells(
            f"{row['lowest']:+.4f}",
            f"{row['cka']:.4f}",
            f"{row['neighbour_overlap']:.3f}",
            kibibytes(row["bytes"]),
        ),
    )


def _goals(found: dict[str, Any]) -> Iterator[str]:
    """Which goals the default settings meet, and which they miss."""
    goals, missed = found["goals"], []
    for name, most in goals["largest_drop"].items():
        family = found["families"].get(name, {"ways": {"default": {}}})
        for file, title in _RUNTIMES.items():
            row = family["ways"]["default"].get("files", {}).get(file)
            if row is None:
                missed.append(f"`{name}` has no {title} to score")
                continue
            if -row["gain"]["value"] > most:
                missed.append(f"`{name}` {title} loses {-row['gain']['value']:.4f}, goal {most:g}")
            if not row["non_inferior"]:
                missed.append(f"`{name}` {title} is not shown to be non-inferior at {goals['margin']:g}")
            if row["neighbour_overlap"] < goals["least_overlap"]:
                overlap = row["neighbour_overlap"]
                missed.append(f"`{name}` {title} keeps {overlap:.3f} of its 10 neighbours, goal .9")
    drops = ", ".join(f"{most:g} for `{name}`" for name, most in goals["largest_drop"].items())
    yield (
        f"Goals of the defaults, in both runtimes: a drop of at most {drops}; non-inferior at a margin of "
        f"{goals['margin']:g} (one-sided 95 %, paired over patients); at least {goals['least_overlap']:g} of "
        f"the 10 nearest neighbours kept. {'Missed: ' + '; '.join(missed) if missed else 'All are met'}."
    )


def _notes(found: dict[str, Any]) -> Iterator[str]:
    for name, family in found["families"].items():
        for way, row in family["ways"].items():
            if "refused" in row:
                yield f"`{name}`, {way}: {row['refused']}."
        if _same_files(family["ways"].get("QAT", {}), family["ways"]["default"]):
            yield f"QAT of `{name}` kept the weights that came: no epoch did better on validation clips."
        tuned = family["ways"]["tuned"]
        if len(tuned.get("trials", ())) == 1:
            trial = tuned["trials"][0]
            yield (
                f"Tuning of `{name}` ended with its first trial, which is the default: validation AUROC "
                f"{trial['score']:.4f}, float {trial['float']:.4f}."
            )
        elif tuned.get("trials"):
            best = max(tuned["trials"], key=lambda trial: float(trial["score"]))
            yield (
                f"Tuning of `{name}` took {len(tuned['trials'])} trials: validation AUROC "
                f"{tuned['trials'][0]['score']:.4f} at first, {best['score']:.4f} at best, "
                f"float {best['float']:.4f}."
            )


def _same_files(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two ways gave files of the same size that say the same."""

    def facts(way: dict[str, Any]) -> list[tuple[int, float]]:
        return [(row["bytes"], row["auroc"]["value"]) for row in way.get("files", {}).values()]

    return bool(facts(one)) and facts(one) == facts(other)


def _pareto(found: dict[str, Any]) -> Iterator[str]:
    yield from (
        "**The same student through other quantisers**, with the same calibration clips, timed in turns in "
        "one run for each student, on this host ([how](benchmarks/pareto.py), "
        "[every sample](benchmarks/results/pareto.json)).",
        "",
        *(f"- {_verdict(name, family)}" for name, family in found["families"].items()),
        "",
    )
    rows = [
        _pareto_row(name, title, row, family["front"])
        for name, family in found["families"].items()
        for title, row in sorted(family["systems"].items(), key=lambda item: not item[1]["ours"])
    ]
    header = (
        *("student", "file", "made by", "KiB", "AUROC", "less float (95 % interval)"),
        *("1 thread: median ms", "2 threads: median ms", "on the front"),
    )
    caption = "Size, latency (10th to 90th percentile) and mean AUROC on test patients"
    yield from table_lines(Table(caption, header, tuple(rows), 3))
    loads = [load for family in found["families"].values() for load in family["load_average"]]
    cores = found["environment"]["cores"]
    yield from (
        f"- Other work ran on the {cores} cores (load average {min(loads):.1f} to {max(loads):.1f}): read "
        "the ratios, not the milliseconds.",
        "- On the front: no other file is at least as small, as fast and as accurate, with one and with two "
        "threads (or with the number that is named). Differences in AUROC within their interval are chance; "
        "the front takes them as they are.",
        "- The plain `.tflite` takes and gives INT8: converting its inputs and outputs is not in its time.",
        "",
    )


def _pareto_row(name: str, title: str, row: Mapping[str, Any], fronts: Mapping[str, Any]) -> tuple[Cell, ...]:
    times = [row["latency"][threads] for threads in ("1", "2")]
    gain = _estimate(row["gain"])
    on = [threads for threads in ("1", "2") if title in fronts[threads]]
    return (
        *cells(
            f"`{name}`",
            spoken(title),
            row["title"],
            kibibytes(row["bytes"]),
            number(_estimate(row["auroc"])),
        ),
        Cell(signed(gain), interval(gain, "+")),
        *(Cell(f"{one['median_ms']:.3f}", f"{one['p10_ms']:.3f} to {one['p90_ms']:.3f}") for one in times),
        Cell({0: "no", 2: "yes"}.get(len(on), f"with {' '.join(on)}")),
    )


def _verdict(name: str, family: Mapping[str, Any]) -> str:
    """Whether ours are on the front, and where INT8 is slower than float in its own runtime."""
    systems = family["systems"]
    own = [title for title, row in systems.items() if row["ours"]]
    on = [title for title in own if any(title in front for front in family["front"].values())]
    off = [title for title in own if title not in on]
    said = f"`{name}`: on the front: {', '.join(map(spoken, on)) or 'none of ours'}"
    said += f"; not on it: {', '.join(map(spoken, off))}" if off else ""
    slow = [
        f"{spoken(title)}, {row['latency']['1']['median_ms'] / floating:.1f} times"
        for title, row in systems.items()
        if row["ours"]
        for floating in [systems[float_of(title)]["latency"]["1"]["median_ms"]]
        if row["latency"]["1"]["median_ms"] > floating
    ]
    return f"{said}. Slower than float in the same runtime: {'; '.join(slow) or 'none of ours'}."


def spoken(title: str) -> str:
    """A system's name for a table."""
    file, _, detail = title.partition(", ")
    return f"{file} ({detail})" if detail else file


def float_of(title: str) -> str:
    """The float system in the runtime of `title`."""
    return f"float {title.partition(' ')[2].partition(',')[0]}"


def _curve(found: dict[str, Any]) -> Iterator[str]:
    yield from (
        f"**How many calibration clips are enough**, on {found['clips']} validation clips, by how they are "
        f"chosen ([how](benchmarks/calibration_curve.py), "
        "[all figures](benchmarks/results/calibration_curve.json)).",
        "",
    )
    rows = []
    for name, family in found["families"].items():
        for count in sorted({row["clips"] for row in family["rows"]}):
            of_count = [row for row in family["rows"] if row["clips"] == count]
            rows.append(cells(f"`{name}`", str(count), *_curve_row(of_count)))
    choices = ("spread", "furthest", "kmeans", "random")
    header = (
        "student",
        "clips",
        *(f"{choice}: SQNR dB" for choice in choices),
        *(f"{choice}: AUROC less float" for choice in choices),
    )
    caption = f"Signal to noise of the embedding; random is the range of {found['draws']} draws"
    yield from table_lines(Table(caption, header, tuple(rows), 2))
    yield from (*(f"- {_enough(name, family['rows'])}" for name, family in found["families"].items()), "")


def _enough(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """From how many clips on the default choice stays within a decibel of what the most clips give."""
    found = sorted((row["clips"], row["sqnr_db"]) for row in rows if row["choice"] == "spread")
    most, best = found[-1]
    first = most
    for clips, decibels in reversed(found):
        if abs(decibels - best) > 1:
            break
        first = clips
    return (
        f"`{name}`: from {first} clips on, the default choice, `spread`, is within 1 dB of what {most} give."
    )


def _curve_row(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for figure, form in (("sqnr_db", ".1f"), ("auroc_gain", "+.4f")):
        for choice in ("spread", "furthest", "kmeans", "random"):
            values = [row[figure] for row in rows if row["choice"] == choice]
            ends = sorted({f"{np.min(values):{form}}", f"{np.max(values):{form}}"}, key=float)
            yield " to ".join(ends)


def _schemes(found: dict[str, Any]) -> Iterator[str]:
    families = list(found["cells"])
    names = list(dict.fromkeys(name for row in found["cells"].values() for name in row))
    phones = [[_cell(found["cells"][family].get(name)) for family in families] for name in names]
    yield from (
        "**Which scheme goes through the whole line**: quantised, proven, gated, bundled, verified and "
        "bisected, for Android; where a stethoscope takes the scheme, on its emulated board too. "
        "`runs`: `model.pte` and `model.tflite` alone were made and run on real clips. "
        f"{_which_are_trained(found)} "
        "([how](benchmarks/schemes.py), [all figures](benchmarks/results/schemes.json)).",
        "",
    )
    rows = [cells(name, *row, _stethoscope(found, name)) for name, row in zip(names, phones, strict=True)]
    header = ("scheme", *(f"`{family}`" for family in families), "stethoscope")
    yield from table_lines(Table("Schemes and students", header, tuple(rows), len(header)))
    yield "Refused before anything runs:"
    yield ""
    yield from (*(f"- {sentence}" for sentence in dict.fromkeys(found["refused"].values())), "")


def _which_are_trained(found: Mapping[str, Any]) -> str:
    trained = [f"`{family}`" for family, row in found["cells"].items() if all(map(_is_trained, row.values()))]
    if not trained:
        return "Untrained students that have heard real sound"
    return f"Trained: {', '.join(trained)}; the other students have heard real sound and are not trained"


def _is_trained(cell: Mapping[str, Any]) -> bool:
    return bool(cell["trained"])


def _cell(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return "not run"
    return str(cell["android"] if cell["quantize"] == _WORKS else cell["quantize"])


def _stethoscope(found: dict[str, Any], name: str) -> str:
    """What the stethoscope says of all families that were asked; else that it is refused."""
    if f"{name} for a stethoscope" in found["refused"]:
        return "refused"
    said = {
        family: cell[name][key]
        for family, cell in found["cells"].items()
        for key in cell.get(name, {})
        if key.startswith("stethoscope")
    }
    others = [f"`{family}`: {text}" for family, text in said.items() if text != _WORKS]
    working = [f"`{family}`" for family, text in said.items() if text == _WORKS]
    return "; ".join([*([f"{_WORKS}: {', '.join(working)}"] if working else []), *others]) or "not run"


def _estimate(row: Mapping[str, Any]) -> Estimate:
    return Estimate.model_validate(row)
