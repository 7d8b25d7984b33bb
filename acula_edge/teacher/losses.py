"""Alignment losses between paired audio and text representations: pure functions of (n, p), (n, q).

The first three measure how much two sets of representations of the same n recordings agree, whatever
their widths, and are 0 for perfect and 1 for no agreement. The contrastive ones, of (n, d) and (n, d),
ask each recording to be nearest to its own report. `AlignmentLoss` holds what a loss learns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from acula_edge.teacher.config import Alignment

_TINY = 1e-12
_MAX_LOG_SCALE = math.log(100.0)


def cka_loss(audio: Tensor, text: Tensor) -> Tensor:
    """1 - linear CKA over the batch: |Y'X|_F^2 / (|X'X|_F |Y'Y|_F), X and Y centred.

    Kornblith et al., "Similarity of neural network representations revisited" (ICML 2019), eq. 3 with
    a linear kernel; computed by the n x n Grams, which are smaller than the features. Representations
    that do not differ between recordings agree with nothing: 1, without a gradient.
    """
    return _one_minus_cosine(_gram(_centred(audio)), _gram(_centred(text)))


def cka_unbiased_loss(audio: Tensor, text: Tensor) -> Tensor:
    """1 - HSIC_1(X, Y) / sqrt(HSIC_1(X, X) HSIC_1(Y, Y)), n >= 4.

    As in Nguyen et al., "Do wide and deep networks learn the same things?" (ICLR 2021), eq. 2 and 3, on
    one batch. Plain CKA of unrelated representations grows with their width over n; this one is about 0.
    It may be a little below 0, and the loss above 1.
    """
    x, y = _centred(audio), _centred(text)
    scale = (hsic_unbiased(x, x) * hsic_unbiased(y, y)).clamp(min=_TINY**2).sqrt()
    return 1.0 - hsic_unbiased(x, y) / scale


def hsic_unbiased(x: Tensor, y: Tensor) -> Tensor:
    """HSIC_1 with a linear kernel, an unbiased estimate from n >= 4 pairs (n, p), (n, q): scalar.

    Song et al., "Feature selection via dependence maximization" (JMLR 2012), eq. 5, in the form of
    Szekely and Rizzo (2014): the inner product of the two U-centred Grams over n (n - 3).
    """
    n = len(x)
    return (_u_centred(_gram(x)) * _u_centred(_gram(y))).sum() / (n * (n - 3))


def released_loss(audio: Tensor, text: Tensor) -> Tensor:
    """1 - <X'X, Y'Y>_F / (|X'X|_F |Y'Y|_F), the form of AcuLA's released code; both (n, d).

    It compares feature covariances, and so does not depend on which text belongs to which recording:
    kept for comparison only.
    """
    return _one_minus_cosine(_gram(_centred(audio).T), _gram(_centred(text).T))


def infonce_loss(audio: Tensor, text: Tensor, log_scale: Tensor) -> Tensor:
    """Symmetric cross-entropy of finding each other's partner by exp(log_scale) x cosine.

    Radford et al., "Learning transferable visual models" (ICML 2021), figure 3; the scale is kept
    below 100, as there.
    """
    logits = _cosines(audio, text) * log_scale.clamp(max=_MAX_LOG_SCALE).exp()
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def siglip_loss(audio: Tensor, text: Tensor, log_scale: Tensor, bias: Tensor) -> Tensor:
    """Each of the n x n pairs by itself: is it a pair? Sigmoid of exp(log_scale) x cosine + bias.

    Zhai et al., "Sigmoid loss for language image pre-training" (ICCV 2023), eq. 1.
    """
    logits = _cosines(audio, text) * log_scale.exp() + bias
    sign = 2.0 * torch.eye(len(logits), dtype=logits.dtype, device=logits.device) - 1.0
    return -F.logsigmoid(sign * logits).sum() / len(logits)


@dataclass(frozen=True)
class LossForm:
    """A loss function and the first values of the scalars that it learns."""

    function: Callable[..., Tensor]
    learned: Mapping[str, float] = field(default_factory=dict)


LOSSES: dict[Alignment, LossForm] = {
    Alignment.CKA: LossForm(cka_loss),
    Alignment.CKA_UNBIASED: LossForm(cka_unbiased_loss),
    Alignment.RELEASED: LossForm(released_loss),
    Alignment.INFONCE: LossForm(infonce_loss, {"log_scale": math.log(1 / 0.07)}),
    Alignment.SIGLIP: LossForm(siglip_loss, {"log_scale": math.log(10.0), "bias": -10.0}),
}


class AlignmentLoss(nn.Module):
    """The loss `alignment` with its learned scalars (none for the CKA family)."""

    def __init__(self, alignment: Alignment) -> None:
        super().__init__()
        form = LOSSES[alignment]
        self._function = form.function
        self.learned = nn.ParameterDict(
            {name: nn.Parameter(torch.tensor(value)) for name, value in form.learned.items()}
        )

    def forward(self, audio: Tensor, text: Tensor) -> Tensor:
        """(n, d), (n, d) -> scalar."""
        return self._function(audio, text, **self.learned)


def _one_minus_cosine(x: Tensor, y: Tensor) -> Tensor:
    """1 - <x, y> / (|x| |y|), Frobenius."""
    scale = torch.linalg.matrix_norm(x) * torch.linalg.matrix_norm(y)
    distance: Tensor = 1.0 - (x * y).sum() / scale.clamp(min=_TINY)
    return distance


def _centred(x: Tensor) -> Tensor:
    """x less its mean, scaled to a norm of 1; exactly 0 where only rounding is left of it."""
    difference = x - x.mean(dim=0, keepdim=True)
    rounding = 8 * torch.finfo(x.dtype).eps * x.detach().abs().amax()
    centred = torch.where(difference.abs() > rounding, difference, 0.0)
    unit: Tensor = centred / torch.linalg.matrix_norm(centred).clamp(min=_TINY)
    return unit


def _gram(x: Tensor) -> Tensor:
    return x @ x.T


def _u_centred(gram: Tensor) -> Tensor:
    """(n, n) without its diagonal, each row and column then summing to 0."""
    n = len(gram)
    other = ~torch.eye(n, dtype=torch.bool, device=gram.device)
    gram = gram * other
    rows = gram.sum(dim=1, keepdim=True) / (n - 2)
    centred = gram - rows - rows.T + gram.sum() / ((n - 1) * (n - 2))
    return centred * other


def _cosines(x: Tensor, y: Tensor) -> Tensor:
    return F.normalize(x, dim=1) @ F.normalize(y, dim=1).T
