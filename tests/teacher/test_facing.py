"""Facing: rotated spaces are laid on each other, and CKA does not see it."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from acula_edge.encoders.projection import ProjectionHead
from acula_edge.teacher.facing import face
from acula_edge.teacher.losses import cka_loss


def test_spaces_that_differ_by_a_rotation_are_laid_on_each_other() -> None:
    torch.manual_seed(0)
    audio_head = ProjectionHead(6, 32, 8, 0.2)
    text_head = ProjectionHead(6, 32, 8, 0.2)
    text_head.load_state_dict(audio_head.state_dict())
    rotation, _ = torch.linalg.qr(torch.randn(8, 8))
    with torch.no_grad():
        last = text_head.layers[-1]
        last.weight.copy_(rotation @ last.weight)
        last.bias.copy_(rotation @ last.bias + 3.0)
    train, held_out = torch.randn(200, 6), torch.randn(50, 6)
    audio_head.eval()
    text_head.eval()
    before = cka_loss(audio_head(held_out), text_head(held_out))
    apart = F.cosine_similarity(audio_head(held_out), text_head(held_out))
    face(audio_head, text_head, train, train)
    together = F.cosine_similarity(audio_head(held_out), text_head(held_out))
    assert apart.min() < 0.5
    assert together.min() > 0.999
    assert audio_head(train).mean(dim=0).abs().max() < 1e-5
    assert torch.allclose(cka_loss(audio_head(held_out), text_head(held_out)), before, atol=1e-5)


def test_unrelated_pairs_stay_unrelated_on_others() -> None:
    torch.manual_seed(1)
    audio_head, text_head = (ProjectionHead(6, 32, 8, 0.2) for _ in range(2))
    face(audio_head, text_head, torch.randn(2000, 6), torch.randn(2000, 6))
    cosine = F.cosine_similarity(audio_head(torch.randn(2000, 6)), text_head(torch.randn(2000, 6)))
    assert cosine.mean().abs() < 0.05
