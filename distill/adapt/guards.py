"""Guards: how far model and teacher agree, and what makes an update unacceptable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.students.space import TextSpace, unit_rows

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Agreement:
    """Of a model with its teacher on the same clips.

    `loss` is the lesson's. `cosine` is the mean over clips of the embeddings' cosine; `centred` the same
    after each side's mean is taken away, so that answers which are all alike earn nothing. `rank` is
    Spearman's correlation over the clips, averaged over the logits.
    """

    loss: float
    cosine: float
    centred: float
    rank: float

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def agreement(
    loss: float, embedding: Floats, logits: Floats, target_embedding: Floats, target_logits: Floats
) -> Agreement:
    """Embeddings are (n, E), logits (n, K), n >= 2."""
    return Agreement(
        loss=loss,
        cosine=_mean_cosine(embedding, target_embedding),
        centred=_mean_cosine(_centred(embedding), _centred(target_embedding)),
        rank=rank_correlation(logits, target_logits),
    )


def refusals(found: Agreement, best: Agreement) -> list[str]:
    """Why an update must not be accepted after `best`; none: it may. NaN is refused."""
    lowered = [
        f"{name} fell from {getattr(best, name):.4f} to {getattr(found, name):.4f}"
        for name in ("cosine", "centred", "rank")
        if not getattr(found, name) >= getattr(best, name)
    ]
    if not found.loss < best.loss:
        lowered.append(f"loss did not fall below {best.loss:.4f}: {found.loss:.4f}")
    return lowered


def drift(space: TextSpace, tasks: Sequence[str], before: Floats, after: Floats) -> float:
    """How far the text-prototype scores of the same clips moved: mean |change of cosine|, worst task.

    Embeddings are (n, E). Tasks without prototypes do not count.
    """
    moved = [
        float(np.abs(space.scores(after, task) - space.scores(before, task)).mean())
        for task in tasks
        if task in space.prototypes
    ]
    return max(moved, default=0.0)


def rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's correlation of each column of (n, K), mid-ranks for ties, averaged; a constant one is 0."""
    values = [
        _pearson(_mid_ranks(one[:, column]), _mid_ranks(other[:, column])) for column in range(one.shape[1])
    ]
    return float(np.mean(values))


def _mid_ranks(values: Floats) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse], dtype=np.float64)


def _pearson(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    x, y = one - one.mean(), other - other.mean()
    length = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / length if length > 0 else 0.0


def _centred(rows: Floats) -> Floats:
    return np.asarray(rows - rows.mean(axis=0), dtype=np.float32)


def _mean_cosine(one: Floats, other: Floats) -> float:
    return float((unit_rows(one) * unit_rows(other)).sum(axis=1).mean())
