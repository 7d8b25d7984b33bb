"""COLA: contrastive learning of audio from two segments of one recording.

Saeed, Grangier and Zeghidour, "Contrastive learning of general-purpose audio representations"
(ICASSP 2021): segments of one recording are positives, those of the others in the batch negatives,
compared by a bilinear form.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BilinearSimilarity(nn.Module):
    """g(x)' W g(y) with g = tanh(LayerNorm(Linear))."""

    def __init__(self, dim: int, width: int = 128) -> None:
        super().__init__()
        self.project = nn.Linear(dim, width)
        self.norm = nn.LayerNorm(width)
        self.weight = nn.Parameter(torch.eye(width))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, dim), (B, dim) -> (B, B) similarities, row i against every column."""
        left = torch.tanh(self.norm(self.project(x)))
        right = torch.tanh(self.norm(self.project(y)))
        return left @ self.weight @ right.T


def cola_loss(first: Tensor, second: Tensor, similarity: nn.Module) -> Tensor:
    """Cross-entropy of finding each first segment's own second one: (B, D), (B, D) -> scalar."""
    logits = similarity(first, second)
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def halves(frames: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T, C) -> the mean frame of the first and of the second half of each clip, (B, C) each."""
    half = frames.shape[1] // 2
    return frames[:, :half].mean(1), frames[:, half:].mean(1)
