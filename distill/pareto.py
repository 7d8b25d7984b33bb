"""Pareto front: the points that no other point beats."""

from __future__ import annotations

from collections.abc import Sequence


def pareto_front(points: Sequence[Sequence[float]]) -> list[int]:
    """Indices, in order, of the points that no other one dominates; every coordinate is to be small.

    A point dominates another if it is nowhere greater and somewhere smaller. Equal points all stay.
    """
    return [index for index, point in enumerate(points) if not any(_beats(other, point) for other in points)]


def _beats(first: Sequence[float], second: Sequence[float]) -> bool:
    pairs = list(zip(first, second, strict=True))
    return all(mine <= its for mine, its in pairs) and any(mine < its for mine, its in pairs)
