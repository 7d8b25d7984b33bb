"""Advice: float is recommended where INT8 is slower, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acula_edge.bench.advice import advice
from acula_edge.bench.report import Report
from acula_edge.bench.results import Performance, Timing
from acula_edge.bench.sections import page_of
from acula_edge.evidence.markdown import to_markdown

COUNTED = Path(__file__).parents[2] / "benchmarks" / "results" / "arm64.json"

Timed = tuple[str, str, int, float]  # runtime, precision, threads, median in ms

FAST: list[Timed] = [("LiteRT", "INT8", 1, 0.2), ("LiteRT", "float32", 1, 0.4)]
SLOW_ALONE: list[Timed] = [("LiteRT", "INT8", 2, 0.4), ("LiteRT", "float32", 2, 0.3)]
SLOW: list[Timed] = [
    *[("ExecuTorch", "INT8", threads, 0.5) for threads in (1, 2)],
    *[("ExecuTorch", "float32", threads, 0.4) for threads in (1, 2)],
]


def _performance(
    report: Report, timed: list[Timed], part: str = "network", machine: str = "aarch64"
) -> Performance:
    suffix = {"LiteRT": "tflite", "ExecuTorch": "pte", "ONNX Runtime": "onnx"}
    timings = [
        Timing(
            part=part,
            precision=precision,
            runtime=runtime,
            file=f"{'model' if precision == 'INT8' else 'float'}.{suffix[runtime]}",
            threads=threads,
            size_bytes=100 if precision == "INT8" else 350,
            idle_bytes=1,
            peak_bytes=2,
            median_ms=median_ms,
            p90_ms=median_ms,
            samples_ms=(median_ms,),
        )
        for runtime, precision, threads, median_ms in timed
    ]
    environment = {**report.performance.environment, "machine": machine}
    return report.performance.model_copy(update={"timings": tuple(timings), "environment": environment})


@pytest.mark.parametrize(
    "timed",
    [
        [],
        FAST,
        [*FAST, ("ExecuTorch", "float32", 1, 0.1)],  # another runtime
        [*FAST, ("LiteRT", "float32", 2, 0.1)],  # another number of threads
    ],
    ids=["nothing", "faster", "runtimes", "threads"],
)
def test_nothing_is_said_where_int8_is_not_slower_in_the_same_place(
    report: Report, timed: list[Timed]
) -> None:
    assert advice(_performance(report, timed)) == ()


def test_slower_with_some_threads_is_said_without_a_recommendation(report: Report) -> None:
    assert advice(_performance(report, [*FAST, *SLOW_ALONE])) == (
        "On this host INT8 is slower than float in LiteRT: 0.400 ms against 0.300 ms with 2 threads.",
    )


def test_slower_with_all_threads_recommends_the_float_file_in_the_report(report: Report) -> None:
    performance = _performance(report, [*FAST, *SLOW])
    (said,) = advice(performance)
    assert "ExecuTorch: 0.500 ms against 0.400 ms with 1 thread, 0.500 ms" in said
    assert "take float.pte of the quantized artifact instead of model.pte: it is 3.5 times as large" in said
    page = page_of(report.model_copy(update={"performance": performance}))
    assert said in to_markdown(page)
    assert "slower than float" not in to_markdown(page_of(report))


def test_a_host_that_is_no_phone_is_told_what_was_counted_on_emulated_cores(report: Report) -> None:
    on_a_phone = advice(_performance(report, SLOW))
    said = advice(_performance(report, SLOW, machine="x86_64"))
    assert said[:-1] == on_a_phone
    assert "measure on the device" in said[-1]
    assert advice(_performance(report, FAST, machine="x86_64")) == ()


def test_what_is_said_of_emulated_cores_is_what_was_counted() -> None:
    found = json.loads(COUNTED.read_text(encoding="utf-8"))
    for rows in found["families"].values():
        for suffix in (".pte", ".tflite"):
            own, floating = (rows[f"{kind} {suffix}"]["instructions"] for kind in ("our", "float"))
            assert all(own[core] < floating[core] for core in found["cores"])
