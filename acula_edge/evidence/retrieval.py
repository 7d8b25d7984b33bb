"""Retrieval: a recording's report among all reports, and a report's recording among all recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acula_edge.evidence.geometry import unit_rows

DEPTHS = (1, 5, 10)
_DECIMALS = 6  # cosines that only float32's rounding tells apart are equal

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Direction:
    """How high the first right candidate stands.

    `hits` (queries, 3) is the probability that it stands among the first 1, 5 and 10 (0 or 1 unless
    candidates tie); the chance figures are those of candidates in random order, exactly.
    """

    hits: Floats
    median_rank: float
    chance_recall: dict[int, float]
    chance_median_rank: float
    candidates: int

    @property
    def recall(self) -> dict[int, float]:
        """R@1, R@5 and R@10: mean of the hits over the queries."""
        return dict(zip(DEPTHS, self.hits.mean(axis=0).tolist(), strict=True))


@dataclass(frozen=True)
class Retrieval:
    """Both directions; queries and candidates are recordings and distinct reports."""

    audio_to_report: Direction
    report_to_audio: Direction


def retrieval(audio: NDArray[np.floating], texts: NDArray[np.floating], reports: Sequence[str]) -> Retrieval:
    """Rank by cosine in the shared space: recordings (n, d), their reports' embeddings (n, d) and texts.

    Recordings with the same report share one candidate; a report is found with the best of its
    recordings. Candidates that tie stand in random order, and every figure is the expectation over it:
    an encoder that maps all to one point scores exactly chance.
    """
    _, firsts, report_of = np.unique(np.array(reports), return_index=True, return_inverse=True)
    cosines = np.round(unit_rows(audio) @ unit_rows(texts[firsts]).T, _DECIMALS)
    own = report_of[:, None] == np.arange(len(firsts))
    return Retrieval(_direction(cosines, own), _direction(cosines.T, own.T))


def _direction(cosines: Floats, own: NDArray[np.bool_]) -> Direction:
    """From (queries, candidates); `own` marks the right candidates of each query, at least one."""
    best = np.where(own, cosines, -np.inf).max(axis=1, keepdims=True)
    better = (cosines > best).sum(axis=1)
    level = cosines == best
    found = _found(better, (level & ~own).sum(axis=1), (level & own).sum(axis=1), own.shape[1])
    right = own.sum(axis=1)
    chance = _found(np.zeros_like(right), own.shape[1] - right, right, own.shape[1]).mean(axis=0)
    at = [min(depth, own.shape[1]) - 1 for depth in DEPTHS]
    return Direction(
        hits=found[:, at],
        median_rank=_median(found.mean(axis=0)),
        chance_recall=dict(zip(DEPTHS, chance[at].tolist(), strict=True)),
        chance_median_rank=_median(chance),
        candidates=own.shape[1],
    )


def _found(better: Ints, wrong: Ints, right: Ints, candidates: int) -> Floats:
    """P(a right candidate among the first k) for k = 1 .. candidates: (queries, candidates).

    `better` candidates stand first, then `wrong` and `right` ones in random order: of the next j none
    is right with the hypergeometric probability of drawing j times without replacement.
    """
    drawn = np.arange(candidates) - better[:, None]
    pool = (wrong + right)[:, None] - drawn
    misses = np.where(drawn < 0, 1.0, (wrong[:, None] - drawn).clip(min=0) / pool.clip(min=1))
    return np.asarray(1.0 - misses.cumprod(axis=1), dtype=np.float64)


def _median(found: Floats) -> float:
    """Median of the rank with distribution function `found` (k = 1, 2, ...); halfway where it is flat."""
    low, high = (int((found < 0.5 + slack).sum()) + 1 for slack in (-1e-12, 1e-12))
    return (low + high) / 2
