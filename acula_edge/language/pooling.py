"""Pooling: from a vector for each token to one for the text. Padding stands on the right."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from torch import Tensor


class Pooling(StrEnum):
    """Which tokens speak for a text."""

    MEAN = "mean"  # all of its own, averaged (AcuLa)
    LAST = "last"  # the last one; in a causal model it alone has seen the whole text
    CLS = "cls"  # the first one, which BERT-like models train to stand for the text


def mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """(n, t, d) and a 0/1 mask (n, t), a token or more each -> (n, d), the mean where the mask is 1."""
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(dim=1) / weight.sum(dim=1)


def last(hidden: Tensor, mask: Tensor) -> Tensor:
    """(n, t, d) and a 0/1 mask (n, t) -> (n, d), the last token of which the mask is 1."""
    rows = mask.flip(1).argmax(dim=1)
    return hidden[range(len(hidden)), mask.shape[1] - 1 - rows]


def cls(hidden: Tensor, _mask: Tensor) -> Tensor:
    """(n, t, d) -> (n, d), the first token."""
    return hidden[:, 0]


POOLINGS: dict[Pooling, Callable[[Tensor, Tensor], Tensor]] = {
    Pooling.MEAN: mean,
    Pooling.LAST: last,
    Pooling.CLS: cls,
}
