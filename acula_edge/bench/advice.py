"""Advice: which runtime should take the float network because INT8 is slower there; from timings alone."""

from __future__ import annotations

from collections.abc import Iterator

from acula_edge.bench.results import Performance, Timing

_INT8, _FLOAT = "INT8", "float32"
_PHONES = ("aarch64", "arm64")
_NO_PHONE = (
    "This host's kernels are not a phone's. On emulated ARM64 cores the INT8 files of every student family "
    "took fewer instructions than float's in the same runtime: measure on the device before you choose float."
)


def advice(performance: Performance) -> tuple[str, ...]:
    """A sentence for each runtime whose INT8 network takes longer than its float one, by the medians.

    Only a pair that was timed in the same runtime with the same number of threads is compared. Float is
    recommended where it is faster with every number of threads that was tried. A host that is no ARM64 is
    told what benchmarks/arm64.py counted.
    """
    pairs = list(_pairs(performance.timings))
    engines = dict.fromkeys(int8.runtime for int8, _ in pairs)
    found = (_sentence([pair for pair in pairs if pair[0].runtime == engine]) for engine in engines)
    said = tuple(sentence for sentence in found if sentence)
    return (*said, _NO_PHONE) if said and performance.environment["machine"] not in _PHONES else said


def _pairs(timings: tuple[Timing, ...]) -> Iterator[tuple[Timing, Timing]]:
    """Each INT8 timing with the float one of the same part, runtime and number of threads."""
    floats = {_place(timing): timing for timing in timings if timing.precision == _FLOAT}
    for timing in timings:
        if timing.precision == _INT8 and _place(timing) in floats:
            yield timing, floats[_place(timing)]


def _place(timing: Timing) -> tuple[str, str, int]:
    return timing.part, timing.runtime, timing.threads


def _sentence(pairs: list[tuple[Timing, Timing]]) -> str:
    slower = [(int8, floating) for int8, floating in pairs if int8.median_ms > floating.median_ms]
    if not slower:
        return ""
    times = ", ".join(
        f"{int8.median_ms:.3f} ms against {floating.median_ms:.3f} ms with {int8.threads} "
        f"thread{'s' if int8.threads > 1 else ''}"
        for int8, floating in slower
    )
    int8, floating = slower[0]
    said = f"On this host INT8 is slower than float in {int8.runtime}: {times}."
    if len(slower) < len(pairs):
        return said
    size = floating.size_bytes / int8.size_bytes
    return (
        f"{said} Leave the first convolution in float, which keeps the size: [quantize.scheme] "
        f'float_modules = ["trunk.0"]. Or, where speed counts more than size, take {floating.file} of the '
        f"quantized artifact instead of {int8.file}: it is {size:.1f} times as large."
    )
