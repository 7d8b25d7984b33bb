"""Facing: turn the text head's space onto the audio head's.

CKA compares how recordings lie to one another and is blind to a rotation of either space; a cosine
between a recording and a report is not. So after CKA the spaces are laid on each other, which changes no
CKA, no probe and no embedding, and makes zero-shot scores and retrieval mean something.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from acula_edge.encoders.projection import ProjectionHead
from acula_edge.teacher.config import Alignment

# The other losses are about cosines: they learn one space by themselves.
BLIND_TO_ROTATION = frozenset({Alignment.CKA, Alignment.CKA_UNBIASED, Alignment.RELEASED})


@torch.no_grad()
def face(audio_head: ProjectionHead, text_head: ProjectionHead, audio: Tensor, texts: Tensor) -> None:
    """Centre both heads on training pairs (n, D) and (n, q), and rotate the text head, in place.

    With centred projections A and T the rotation is U V' of the SVD T'A = U S V' (Schoenemann, "A
    generalized solution of the orthogonal Procrustes problem", Psychometrika 1966).
    """
    audio_head.eval()
    text_head.eval()
    heard, told = audio_head(audio), text_head(texts)
    mean_heard, mean_told = heard.mean(dim=0), told.mean(dim=0)
    left, _, right = torch.linalg.svd((told - mean_told).T @ (heard - mean_heard))
    rotation = left @ right
    last = _last(text_head)
    _last(audio_head).bias.sub_(mean_heard)
    last.weight.copy_(rotation.T @ last.weight)
    last.bias.copy_((last.bias - mean_told) @ rotation)


def _last(head: ProjectionHead) -> nn.Linear:
    layer = head.layers[-1]
    assert isinstance(layer, nn.Linear)
    return layer
