"""README's section about the firmware, from benchmarks/results/firmware.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acula_edge.evidence.markdown import table_lines
from acula_edge.evidence.tables import Table, cells
from targets.stethoscope.cores import CORES
from targets.stethoscope.cycles import CLOCK_HZ, LABEL, estimate

TUNED, CMSIS = "tuned", "CMSIS-NN"
_CONVOLUTIONS = ("Convolution", "Depthwise")
# Goals: of TFLite Micro's arena; instructions for each multiply-accumulate; code; load at the worst band.
MOST_OF_TFLM, MOST_CODE_KIB, MOST_BUSY_PERCENT = 0.6, 16, 50
MOST_PER_MAC = {"Cortex-M4": 2.9, "Cortex-M55": 0.75}

Json = dict[str, Any]


def firmware(folder: Path) -> str:
    """The section; empty if nothing was measured."""
    path = folder / "firmware.json"
    if not path.is_file():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    lines = ["### The firmware", "", *_text(found), "", *table_lines(_costs(found)), ""]
    lines += [*table_lines(_times(found)), "", *table_lines(_compilers(found)), ""]
    lines += [f"- {sentence}" for sentence in (*_goals(found), *_limits())]
    return "\n".join(lines) + "\n"


def _text(found: Json) -> Iterator[str]:
    students = found["students"].values()
    builds = [build for student in students for build in student["builds"]]
    values = sum(build["values"] for build in builds)
    wrong = sum(build["mismatches"] for build in builds)
    off = max(student["features_off_by_one"] for student in students)
    most = max(student["features_off_at_most"] for student in students)
    yield (
        f"Trained students, {found['clips']} real clips, from samples to result, on emulated boards: "
        f"{wrong} of {values} INT8 values differ from LiteRT's reference kernels, with our kernels and with "
        f"CMSIS-NN's. Of a million features {1e6 * off:.1f} are {most:g} step off the reference front end, "
        "none by more ([how](benchmarks/firmware.py), [all figures](benchmarks/results/firmware.json))."
    )


def _costs(found: Json) -> Table:
    rows = [
        cells(
            f"`{name}`",
            build["core"],
            build["back_end"],
            f"{_network(build) / 1e6:.2f}",
            f"{_network(build) / student['macs']:.2f}",
            f"{build['front_end_instructions'] / 1e6:.2f}",
            str(build["hops"]),
            f"{build['code_bytes'] / 1024:.1f}",
            f"{student['constant_bytes'] / 1024:.1f}",
            f"{(build['arena_bytes'] - build['scratch_bytes']) / 1024:.1f}",
            f"{build['scratch_bytes'] / 1024:.1f}",
            f"{build['state_bytes'] / 1024:.1f}",
            str(build["stack_bytes"]),
        )
        for name, student in found["students"].items()
        for build in student["builds"]
    ]
    header = (
        *("student", "core", "code in", "network, M instructions a hop", "for each MAC"),
        *("front end, M instructions a hop", "hops a clip", "code KiB", "weights KiB", "maps KiB"),
        *("scratch KiB", "whole state KiB", "stack bytes"),
    )
    return Table("Instructions and memory, counted on an emulator", header, tuple(rows), labels=3)


def _times(found: Json) -> Table:
    """Tuned code on each core: a range where a band is published."""
    rows = []
    for name, student in found["students"].items():
        for core in CORES.values():
            build = _build(student, core.title, TUNED)
            once = _once(build)
            range_ms, busy = "no published run", ""
            time = estimate(core.name, once, found["clip_seconds"] / build["hops"])
            if time is not None:
                range_ms, busy = _range(time.hop_ms), _range(time.busy_percent)
            rows.append(cells(f"`{name}`", core.title, f"{once / 1e6:.2f}", range_ms, busy))
    clock = f"{CLOCK_HZ / 1e6:g} MHz"
    header = ("student", "core", "M instructions a hop", f"ms a hop at {clock}", f"% of the time at {clock}")
    return Table(f"Time of tuned code, front end included: {LABEL}", header, tuple(rows), labels=2)


def _compilers(found: Json) -> Table:
    """A clip's convolutions on each core: all that bakenn takes."""
    rows = []
    for name, student in found["students"].items():
        for core in (core.title for core in CORES.values()):
            rows += [(name, core, *_ours(student, core, way)) for way in (TUNED, CMSIS)]
            rows += [(name, core, *_bakenns(way)) for way in student["bakenn"] if way["core"] == core]
    header = (
        "student",
        "core",
        "code by",
        "M instructions a clip",
        "arena, input and output KiB",
        "stack bytes",
    )
    made = (
        cells(f"`{name}`", core, way, f"{spent / 1e6:.2f}", f"{memory / 1024:.1f}", str(stack))
        for name, core, way, spent, memory, stack in rows
    )
    return Table("Convolutions of a clip, by compiler", header, tuple(made), labels=3)


def _ours(student: Json, core: str, way: str) -> tuple[str, int, int, int]:
    build = _build(student, core, way)
    pairs = zip(build["layer_instructions"], student["layers"], strict=True)
    spent = sum(count for count, layer in pairs if layer in _CONVOLUTIONS) * build["hops"]
    return f"ours, {way}", spent, build["arena_bytes"], build["stack_bytes"]


def _bakenns(way: Json) -> tuple[str, int, int, int]:
    return way["mode"], way["instructions"], way["arena_bytes"] + way["io_bytes"], way["stack_bytes"]


def _goals(found: Json) -> Iterator[str]:
    """Each goal, with the worst figure."""
    students = found["students"]
    for name, student in students.items():
        if student["tflm_arena_bytes"]:
            state = max(_build(student, core.title, TUNED)["state_bytes"] for core in CORES.values())
            share = state / student["tflm_arena_bytes"]
            yield (
                f"Memory of `{name}`, front end included: {state} bytes, {share:.2f} of TFLite Micro's arena "
                f"of {student['tflm_arena_bytes']}; goal {MOST_OF_TFLM}: {_met(share <= MOST_OF_TFLM)}."
            )
    ratios = [
        _network(_build(student, core.title, TUNED)) / _network(_build(student, core.title, CMSIS))
        for student in students.values()
        for core in CORES.values()
    ]
    yield (
        f"Instructions of the network: {min(ratios):.2f} to {max(ratios):.2f} of those with CMSIS-NN called "
        f"directly, over all cores; goal 1: {_met(max(ratios) <= 1)}."
    )
    for title, most in MOST_PER_MAC.items():
        each = [_network(_build(student, title, TUNED)) / student["macs"] for student in students.values()]
        verdict = _met(max(each) <= most)
        yield f"{title}: {max(each):.2f} instructions for each MAC at most; goal {most}: {verdict}."
    yield from _against_bakenn(students)
    yield from _goals_of_code(students)
    yield from _goal_of_load(found)


def _against_bakenn(students: Json) -> Iterator[str]:
    """Every clip's convolutions, against the better of bakenn's modes on the same core."""
    ratios = [
        _ours(student, core.title, TUNED)[1]
        / min(way["instructions"] for way in student["bakenn"] if way["core"] == core.title)
        for student in students.values()
        for core in CORES.values()
        if student["bakenn"]
    ]
    if ratios:
        yield (
            f"Instructions of a clip's convolutions: {min(ratios):.2f} to {max(ratios):.2f} of those of "
            "bakenn's better mode, over all cores and students."
        )


def _goals_of_code(students: Json) -> Iterator[str]:
    builds = [_build(student, core.title, TUNED) for student in students.values() for core in CORES.values()]
    code = max(build["code_bytes"] for build in builds) / 1024
    verdict = _met(code <= MOST_CODE_KIB)
    yield f"Code without weights: {code:.1f} KiB at most; goal {MOST_CODE_KIB}: {verdict}."
    share = max(build["front_end_instructions"] / _network(build) for build in builds)
    yield f"Front end: {share:.2f} of the network's instructions at most; goal 1: {_met(share <= 1)}."


def _goal_of_load(found: Json) -> Iterator[str]:
    name = "tiny-streaming"
    if name not in found["students"]:
        return
    build = _build(found["students"][name], "Cortex-M4", TUNED)
    time = estimate("m4", _once(build), found["clip_seconds"] / build["hops"])
    assert time is not None
    busy = time.busy_percent[1]
    yield (
        f"`{name}` on a Cortex-M4 at {CLOCK_HZ / 1e6:g} MHz: busy {busy:.1f} % of the time at the worst of "
        f"the band, {time.band.high} cycles an instruction, {LABEL}; goal less than {MOST_BUSY_PERCENT}: "
        f"{_met(busy < MOST_BUSY_PERCENT)}."
    )


def _limits() -> Iterator[str]:
    yield "No board took part. Energy is not stated: no source at hand gives it."
    yield "TFLite Micro's model takes float features, which lie in its arena: this favours ours."
    yield (
        "CMSIS-NN 4.0.0 runs convolutions alone. Its fully connected layers have one factor for a layer, "
        "LiteRT's one for each output; its pooling can not change the grid. Both stay ours, and the addition."
    )
    yield (
        "bakenn 1.0.0 takes the network up to its last convolution, and whole clips only. A streaming "
        "student's first operator, a padding before the map has channels, it refuses (`batch/channel "
        "padding is unsupported`): it gets the clip behind that. It names no Cortex-M but the M0+ and the "
        "M4: what it makes for the M4 runs on each core. On the M55 CMSIS-NN's kernels write behind the "
        "arena that it plans; it was given more, which is counted. Its code and CMSIS-NN are compiled with "
        "-O3, ours with -O2."
    )


def _range(ends: tuple[float, float]) -> str:
    """One published run makes no range."""
    low, high = ends
    return f"{low:.1f} to {high:.1f}" if low < high else f"about {low:.1f}"


def _met(holds: bool) -> str:
    return "met" if holds else "**missed**"


def _build(student: Json, core: str, way: str) -> Json:
    pairs = ((build["core"], build["back_end"]) for build in student["builds"])
    found: Json = student["builds"][list(pairs).index((core, way))]
    return found


def _once(build: Json) -> int:
    """Instructions of a hop."""
    return _network(build) + int(build["front_end_instructions"])


def _network(build: Json) -> int:
    return sum(build["layer_instructions"])
