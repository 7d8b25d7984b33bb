"""Charts: latency, drawn as the charts of accuracy are."""

from __future__ import annotations

from html import escape

from acula_edge.bench.results import Performance, Timing
from acula_edge.evidence.charts import WIDTH, svg

_BAR = 24


def latency_chart(performance: Performance) -> str:
    """Median latency as bars, the 90th percentile as a tick."""
    timings = performance.timings
    longest_ms = max(timing.p90_ms for timing in timings)
    left, right = 330, 90
    per_ms = (WIDTH - left - right) / longest_ms
    parts = [line for i, timing in enumerate(timings) for line in _bar(timing, left, per_ms, 8 + i * _BAR)]
    title = "Latency of one clip: median (bar) and 90th percentile (tick), in milliseconds"
    return svg(title, len(timings) * _BAR + 16, parts)


def _bar(timing: Timing, left: float, per_ms: float, y: float) -> list[str]:
    threads = f"{timing.threads} thread{'s' if timing.threads > 1 else ''}"
    label = f"{timing.part}, {timing.runtime} {timing.precision}, {threads}"
    median, p90 = left + timing.median_ms * per_ms, left + timing.p90_ms * per_ms
    kind = "c2" if timing.precision == "INT8" else "c0"
    middle = y + _BAR / 2
    tick = f"M{median:.1f},{middle}H{p90:.1f}M{p90:.1f},{y + 6}V{y + _BAR - 6}"
    return [
        f'<text class="label" x="{left - 10}" y="{middle + 4}">{escape(label)}</text>',
        f'<path class="bar {kind}" d="M{left},{y + 4}H{median:.1f}V{y + _BAR - 4}H{left}Z"/>',
        f'<path class="whisker {kind}" d="{tick}"/>',
        f'<text x="{p90 + 8:.1f}" y="{middle + 4}">{timing.median_ms:.2f} ms</text>',
    ]
