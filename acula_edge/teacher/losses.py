"""Alignment losses between paired audio and text representations: pure functions of (n, p), (n, q).

Both measure how much two sets of representations of the same n recordings agree, whatever their
widths, and are 0 for perfect and 1 for no agreement.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from acula_edge.teacher.config import Alignment


def cka_loss(audio: Tensor, text: Tensor) -> Tensor:
    """1 - linear CKA over the batch: |Y'X|_F^2 / (|X'X|_F |Y'Y|_F), X and Y centred.

    Kornblith et al., "Similarity of neural network representations revisited" (ICML 2019), eq. 3 with
    a linear kernel; computed by the n x n Grams, which are smaller than the features.
    """
    gram_audio = _gram(audio)
    gram_text = _gram(text)
    return _one_minus_cosine(gram_audio, gram_text)


def released_loss(audio: Tensor, text: Tensor) -> Tensor:
    """1 - <X'X, Y'Y>_F / (|X'X|_F |Y'Y|_F), the form of AcuLA's released code; both (n, d).

    It compares feature covariances, and so does not depend on which text belongs to which recording:
    kept for comparison only.
    """
    covariance_audio = _centred(audio).T @ _centred(audio)
    covariance_text = _centred(text).T @ _centred(text)
    return _one_minus_cosine(covariance_audio, covariance_text)


LOSSES: dict[Alignment, Callable[[Tensor, Tensor], Tensor]] = {
    Alignment.CKA: cka_loss,
    Alignment.RELEASED: released_loss,
}


def _one_minus_cosine(x: Tensor, y: Tensor) -> Tensor:
    """1 - <x, y> / (|x| |y|), Frobenius."""
    scale = torch.linalg.matrix_norm(x) * torch.linalg.matrix_norm(y)
    distance: Tensor = 1.0 - (x * y).sum() / scale.clamp(min=1e-12)
    return distance


def _centred(x: Tensor) -> Tensor:
    return x - x.mean(dim=0, keepdim=True)


def _gram(x: Tensor) -> Tensor:
    centred = _centred(x)
    return centred @ centred.T
