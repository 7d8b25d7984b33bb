"""Gradients in micro-batches are those of one pass over the whole batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from acula_edge.encoders.registry import pretrained
from acula_edge.teacher.align import AlignmentModel
from acula_edge.teacher.config import Alignment, TeacherConfig
from acula_edge.teacher.gradcache import represent
from acula_edge.teacher.pairs import PairBatch
from tests.teacher.tiny import CONTRACT, Float64Model, tiny_config, tiny_encoder, tone_pairs

N = 13


def _model(config: TeacherConfig) -> AlignmentModel:
    encoder = tiny_encoder()
    encoder.drop.p = config.dropout
    return Float64Model(encoder, 8, config).train().double()


def _batch() -> PairBatch:
    return tone_pairs(N, 0, unpaired=3).batch(np.arange(N), 0.5, np.random.default_rng(0))


def _gradients(
    model: AlignmentModel, represented: Callable[[], tuple[Tensor, ...]]
) -> tuple[float, dict[str, Tensor]]:
    model.zero_grad()
    torch.manual_seed(1)
    loss = model.loss(represented())
    loss.backward()  # type: ignore[no-untyped-call]
    found = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    return float(loss.detach()), found


def _same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert (found[name] - value).norm() <= 1e-9 * value.norm() + 1e-12, name


@pytest.mark.parametrize("alignment", list(Alignment))
@pytest.mark.parametrize("micro_batch", [1, 4, 12])
def test_chunks_give_the_one_pass_loss_and_gradients(alignment: Alignment, micro_batch: int) -> None:
    model, batch = _model(tiny_config(alignment=alignment)), _batch()
    loss, expected = _gradients(model, lambda: represent(model, batch, None))
    chunked, found = _gradients(model, lambda: represent(model, batch, micro_batch))
    assert chunked == pytest.approx(loss, rel=1e-12)
    assert {"encoder.first.weight", "encoder.similarity.weight", "text_head.layers.0.weight"} <= found.keys()
    assert float(expected["encoder.first.weight"].norm()) > 1e-3
    _same(found, expected)


def test_float32_chunks_agree_within_its_rounding() -> None:
    model, batch = AlignmentModel(tiny_encoder(), 8, tiny_config()), _batch()
    _, expected = _gradients(model, lambda: represent(model, batch, None))
    _, found = _gradients(model, lambda: represent(model, batch, 4))
    flat = [torch.cat([part.flatten() for part in side.values()]) for side in (expected, found)]
    assert (flat[0] - flat[1]).norm() < 1e-5 * flat[0].norm()


def test_mean_of_chunk_losses_is_another_thing() -> None:
    model, batch = _model(tiny_config()), _batch()
    _, expected = _gradients(model, lambda: model.represent(batch))
    model.zero_grad()
    for part in (slice(0, 6), slice(6, None)):
        (model.loss(model.represent(batch.rows(part))) / 2).backward()
    weight = model.encoder.get_parameter("first.weight")
    assert weight.grad is not None
    assert (weight.grad - expected["encoder.first.weight"]).norm() > 0.1 * weight.grad.norm()


def test_dropout_of_the_second_pass_is_that_of_the_first() -> None:
    model, batch = _model(tiny_config(dropout=0.4)), _batch()

    def in_chunks_with_a_graph() -> tuple[Tensor, ...]:
        parts = [model.represent(batch.rows(slice(start, start + 5))) for start in range(0, N, 5)]
        return tuple(torch.cat(pieces) for pieces in zip(*parts, strict=True))

    loss, expected = _gradients(model, in_chunks_with_a_graph)
    after = torch.get_rng_state()
    cached, found = _gradients(model, lambda: represent(model, batch, 5))
    assert cached == loss
    assert torch.equal(torch.get_rng_state(), after)
    _same(found, expected)
    _, other = _gradients(model, lambda: model.represent(batch))
    assert (other["encoder.first.weight"] - expected["encoder.first.weight"]).norm() > 1e-3


def test_without_gradients_chunks_only_save_memory() -> None:
    model, batch = _model(tiny_config()), _batch()
    with torch.no_grad():
        whole, chunked = represent(model, batch, None), represent(model, batch, 4)
    for first, second in zip(whole, chunked, strict=True):
        assert not second.requires_grad
        assert torch.allclose(first, second, atol=1e-6)


def test_no_more_than_a_micro_batch_is_represented_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = _model(tiny_config()), _batch()
    seen: list[tuple[int, bool]] = []
    plain = model.represent

    def watched(part: PairBatch) -> tuple[Tensor, ...]:
        seen.append((len(part), torch.is_grad_enabled()))
        return plain(part)

    monkeypatch.setattr(model, "represent", watched)
    model.loss(represent(model, batch, 5)).backward()  # type: ignore[no-untyped-call]
    assert seen == [(5, False), (5, False), (3, False), (5, True), (5, True), (3, True)]


def test_frozen_trunk_gets_no_gradients_in_chunks() -> None:
    model, batch = _model(tiny_config()), _batch()
    model.encoder.freeze_trunk()
    _, expected = _gradients(model, lambda: model.represent(batch))
    _, found = _gradients(model, lambda: represent(model, batch, 4))
    assert "encoder.first.weight" not in found
    _same(found, expected)


def test_batch_normalisation_agrees_in_evaluation_mode_only() -> None:
    model = AlignmentModel(pretrained("small", CONTRACT, seed=0), 8, tiny_config())
    batch = tone_pairs(N, 0).batch(np.arange(N), 1.0, np.random.default_rng(0))
    errors = {}
    for training in (True, False):
        model.train(training)
        _, whole = _gradients(model, lambda: represent(model, batch, None))
        _, chunked = _gradients(model, lambda: represent(model, batch, 5))
        name = "encoder.layers.9.weight"
        errors[training] = float((whole[name] - chunked[name]).norm() / whole[name].norm())
    assert errors[False] < 1e-5
    assert errors[True] > 1e-2
