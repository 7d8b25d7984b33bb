"""Charts: inline SVG, coloured by the classes of the page that holds them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from acula_edge.evidence.results import Accuracy, Estimate, SystemAccuracy

WIDTH = 760
_LEFT = 150
_RIGHT = 24
_LEGEND_COLUMNS = 3
_ROW = 11  # between two systems of one task
_GAP = 16  # between two tasks
_R = 3.8  # of a marker

# One shape for each system, so that colour is never the only difference.
_SHAPES = (
    "M-{r},0a{r},{r} 0 1,0 {d},0a{r},{r} 0 1,0 -{d},0Z",  # disc
    "M0,-{r}L{r},{r}L-{r},{r}Z",  # triangle
    "M0,-{l}L{l},0L0,{l}L-{l},0Z",  # diamond
    "M-{r},-{r}H{r}V{r}H-{r}Z",  # square
    "M0,{r}L{r},-{r}L-{r},-{r}Z",  # triangle on its tip
    "M-{l},-{s}H-{s}V-{l}H{s}V-{s}H{l}V{s}H{s}V{l}H-{s}V{s}H-{l}Z",  # cross
)
_SIZES = {"r": _R, "d": 2 * _R, "l": 1.35 * _R, "s": 0.45 * _R}


def accuracy_chart(accuracy: Accuracy) -> str:
    """AUROC as dots and its 95 % intervals as whiskers: a band for each task, a row for each system."""
    systems = accuracy.systems
    bands = [(cohort.task, [s.tasks[cohort.task] for s in systems]) for cohort in accuracy.cohorts]
    bands.append(("mean over tasks", [system.mean for system in systems]))
    top = 24 * math.ceil(len(systems) / _LEGEND_COLUMNS) + 26
    height = top + len(bands) * (_ROW * len(systems) + _GAP) + 26
    axis = _Axis(*_range([estimate for _, found in bands for estimate in found]))
    parts = [*_legend(systems), *axis.grid(top, height - 22)]
    y = float(top)
    for name, found in bands:
        parts += _band(name, found, axis, y)
        y += _ROW * len(systems) + _GAP
    return svg("AUROC of each system on each task, with 95 % intervals", height, parts)


class _Axis:
    """From an AUROC to a horizontal position."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def x(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def grid(self, top: float, bottom: float) -> list[str]:
        lines = []
        for tenth in range(round(self.low * 10), round(self.high * 10) + 1):
            x, kind = self.x(tenth / 10), "chance" if tenth == 5 else "grid"
            lines.append(f'<path class="{kind}" d="M{x},{top - 4}V{bottom}"/>')
            lines.append(f'<text class="tick" x="{x}" y="{bottom + 15}">{tenth / 10:.1f}</text>')
        lines.append(f'<text class="tick" x="{self.x(0.5)}" y="{top - 9}">chance</text>')
        return lines


def _range(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """Whole tenths around every value, interval and chance."""
    found = [v for e in estimates for v in (e.low, e.value, e.high) if v is not None]
    return math.floor(min([0.45, *found]) * 10) / 10, math.ceil(max([0.55, *found]) * 10) / 10


def _legend(systems: Sequence[SystemAccuracy]) -> list[str]:
    lines = []
    for i, system in enumerate(systems):
        x = 12 + i % _LEGEND_COLUMNS * (WIDTH / _LEGEND_COLUMNS)
        y = 14 + i // _LEGEND_COLUMNS * 24
        lines += [_marker(i, x, y), f'<text x="{x + 12}" y="{y + 4}">{escape(system.title)}</text>']
    return lines


def _band(name: str, found: Sequence[Estimate], axis: _Axis, y: float) -> list[str]:
    middle = y + _ROW * (len(found) - 1) / 2 + _GAP / 2
    lines = [
        f'<path class="grid" d="M0,{y}H{WIDTH - _RIGHT}"/>',
        f'<text class="label" x="{_LEFT - 12}" y="{middle + 4:.1f}">{escape(name)}</text>',
    ]
    for i, estimate in enumerate(found):
        row = y + _GAP / 2 + i * _ROW
        if estimate.low is not None and estimate.high is not None:
            ends = f"M{axis.x(estimate.low)},{row}H{axis.x(estimate.high)}"
            lines.append(f'<path class="whisker c{i}" d="{ends}"/>')
        if estimate.value is not None:
            lines.append(_marker(i, axis.x(estimate.value), row))
    return lines


def _marker(i: int, x: float, y: float) -> str:
    shape = _SHAPES[i % len(_SHAPES)].format_map({name: f"{size:.2f}" for name, size in _SIZES.items()})
    return f'<path class="marker c{i}" transform="translate({x:g},{y:g})" d="{shape}"/>'


def svg(title: str, height: float, parts: Sequence[str]) -> str:
    """A drawing, WIDTH wide, with a title for a screen reader."""
    head = f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title)}">'
    return "\n".join([head, f"<title>{escape(title)}</title>", *parts, "</svg>"])
