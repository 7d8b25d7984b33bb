"""COLA against a hand-written cross-entropy."""

from __future__ import annotations

import numpy as np
import torch

from acula_edge.encoders.cola import BilinearSimilarity, cola_loss


def test_loss_is_the_cross_entropy_of_the_diagonal() -> None:
    torch.manual_seed(0)
    similarity = BilinearSimilarity(12, width=5)
    torch.nn.init.normal_(similarity.weight)
    x, y = torch.randn(7, 12), torch.randn(7, 12)
    with torch.no_grad():
        table = similarity(x, y).numpy().astype(np.float64)
    expected = np.mean([np.log(np.exp(row).sum()) - row[index] for index, row in enumerate(table)])
    assert abs(float(cola_loss(x, y, similarity).detach()) - expected) < 1e-5


def test_similarity_is_bilinear_in_the_projections() -> None:
    torch.manual_seed(1)
    similarity = BilinearSimilarity(4, width=3)
    x, y = torch.randn(2, 4), torch.randn(5, 4)
    project = lambda v: torch.tanh(similarity.norm(similarity.project(v)))  # noqa: E731
    expected = torch.einsum("iw,wv,jv->ij", project(x), similarity.weight, project(y))
    assert torch.allclose(similarity(x, y), expected, atol=1e-6)
