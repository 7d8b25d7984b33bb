"""Charts of a search: validation AUROC against each cost, for every trained student."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from acula_edge.evidence.charts import WIDTH, svg
from distill.search_result import SearchResult, TrialRecord

_LEFT, _TOP, _GAP, _PLOT_WIDTH, _PLOT_HEIGHT = 46, 44, 32, 206, 210
_TICKS = 4
_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class _Axis:
    """From values in [low, high] to positions in [start, end]."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: Sequence[float], low: float | None, start: float, end: float) -> _Axis:
        """Round numbers around `values`; from `low` on, if it is given."""
        least = min(values) if low is None else low
        step = _step(max(values) - least)
        bottom = least if low is not None else step * (least // step)
        return cls(bottom, step * (max(values) // step + 1), start, end)

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[float]:
        step = _step(self.high - self.low)
        return [self.low + step * number for number in range(round((self.high - self.low) / step) + 1)]


@dataclass(frozen=True)
class _Cost:
    title: str
    of: Callable[[TrialRecord], float]


_COSTS = (
    _Cost("MMAC a clip", lambda trial: trial.needs.macs / 1e6),
    _Cost("RAM, KiB", lambda trial: trial.needs.ram_bytes / 1024),
    _Cost("flash, KiB", lambda trial: trial.needs.flash_bytes / 1024),
)


def front_chart(result: SearchResult) -> str:
    """Three panels as SVG: every trained student a dot, the Pareto front in colour, the best a triangle."""
    bottom = _TOP + _PLOT_HEIGHT
    trained = [trial for trial in result.trained if trial.score is not None]
    scores = _Axis.around([trial.score or 0.0 for trial in trained], None, bottom, _TOP)
    axis = f'<text x="4" y="{_TOP - 6}">AUROC</text>'
    parts = [*_legend(), axis]
    for number, cost in enumerate(_COSTS):
        left = _LEFT + number * (_PLOT_WIDTH + _GAP)
        costs = _Axis.around(list(map(cost.of, trained)), 0.0, left, left + _PLOT_WIDTH)
        parts += _grid(cost, costs, scores, labelled=number == 0)
        parts += [_dot(trial, result, costs.at(cost.of(trial)), scores) for trial in trained]
    return svg("Validation AUROC against MACs, RAM and flash of every trained student", bottom + 44, parts)


def _grid(cost: _Cost, costs: _Axis, scores: _Axis, labelled: bool) -> list[str]:
    lines = [
        f'<text class="tick" x="{(costs.start + costs.end) / 2:g}" y="{scores.start + 34:g}">'
        f"{escape(cost.title)}</text>"
    ]
    for value in costs.ticks:
        x = costs.at(value)
        lines.append(f'<path class="grid" d="M{x},{scores.end}V{scores.start}"/>')
        lines.append(f'<text class="tick" x="{x}" y="{scores.start + 16:g}">{value:g}</text>')
    for value in scores.ticks:
        y = scores.at(value)
        lines.append(f'<path class="grid" d="M{costs.start},{y}H{costs.end}"/>')
        if labelled:
            lines.append(f'<text class="label" x="{costs.start - 6:g}" y="{y + 4:g}">{value:.3g}</text>')
    return lines


def _dot(trial: TrialRecord, result: SearchResult, x: float, scores: _Axis) -> str:
    role = _ROLES[(trial.index in result.front) + (trial.index == result.best)]
    told = f"trial {trial.index}: {trial.choice.front_end}; {trial.choice.shape}"
    return role.marker(x, scores.at(trial.score or 0.0), f"<title>{escape(told)}</title>")


@dataclass(frozen=True)
class _Role:
    """How a student is drawn: its name in the legend, its colour, and its outline."""

    name: str
    colour: str
    outline: str

    def marker(self, x: float, y: float, inside: str = "") -> str:
        place = f'transform="translate({x:g},{y:g})"'
        return f'<path class="marker {self.colour}" {place} d="{self.outline}">{inside}</path>'


_DISC = "M-3.5,0a3.5,3.5 0 1,0 7,0a3.5,3.5 0 1,0 -7,0Z"
_SQUARE = "M-3.5,-3.5H3.5V3.5H-3.5Z"
_TRIANGLE = "M0,-5.5L5.5,5L-5.5,5Z"
_ROLES = (
    _Role("other trained students", "c0", _DISC),
    _Role("on the Pareto front", "c2", _SQUARE),
    _Role("best AUROC", "c1", _TRIANGLE),
)


def _legend() -> list[str]:
    lines = []
    for number, role in enumerate(reversed(_ROLES)):
        x = 12 + number * (WIDTH / len(_ROLES))
        lines += [role.marker(x, 12), f'<text x="{x + 12:g}" y="16">{role.name}</text>']
    return lines


def _step(extent: float) -> float:
    """A round number that goes into `extent` about four times."""
    raw = max(extent, 1e-3) / _TICKS
    power = 10.0 ** _exponent(raw)
    return next(step * power for step in _STEPS if step * power >= raw)


def _exponent(value: float) -> int:
    return int(f"{value:e}".split("e")[1])
