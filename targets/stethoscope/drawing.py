"""Drawing: the memory plan as an SVG, steps to the right and bytes upwards."""

from __future__ import annotations

from html import escape

from targets.stethoscope.memory import MemoryPlan, Place

_STEP_WIDTH, _HEIGHT, _MARGIN = 44, 320, 48
_COLOURS = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#b07aa1", "#9c755f")
_LEAST_LABEL = 12  # height in pixels of a box that can hold text


def draw_memory(plan: MemoryPlan) -> str:
    """A box for each value: as wide as it lives, as high as it is large."""
    steps = max(place.last_read for place in plan.places) + 2
    width = 2 * _MARGIN + steps * _STEP_WIDTH
    height = 2 * _MARGIN + _HEIGHT
    boxes = "".join(_box(place, index, plan) for index, place in enumerate(plan.places))
    title = f"Arena of {plan.arena_bytes} bytes; no plan needs less than {plan.least_bytes}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'font-family="sans-serif" font-size="10">\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n'
        f'<text x="{_MARGIN}" y="24" font-size="13">{title}</text>\n{boxes}'
        f'<text x="{_MARGIN}" y="{height - 14}">front end, then one layer after the other</text>\n</svg>\n'
    )


def _box(place: Place, index: int, plan: MemoryPlan) -> str:
    scale = _HEIGHT / plan.arena_bytes
    x = _MARGIN + (place.born + 1) * _STEP_WIDTH
    y = _MARGIN + _HEIGHT - place.end * scale
    width = (place.last_read - place.born + 1) * _STEP_WIDTH
    height = place.value.size_bytes * scale
    name = escape(place.value.name)
    label = f"{place.value.size_bytes}" if height >= _LEAST_LABEL else ""
    colour = _COLOURS[index % len(_COLOURS)]
    return (
        f"<g><title>{name}: {place.value.size_bytes} bytes at {place.offset}</title>"
        f'<rect x="{x}" y="{y:.1f}" width="{width}" height="{max(height, 1):.1f}" fill="{colour}" '
        f'fill-opacity="0.7" stroke="black" stroke-width="0.5"/>'
        f'<text x="{x + 3}" y="{y + 11:.1f}">{label}</text></g>\n'
    )
