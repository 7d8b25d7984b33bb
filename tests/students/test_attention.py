"""Attention against PyTorch's own, on maps of real clips; what it hears, and what it costs by hand."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from acula_edge.errors import UsageError
from acula_edge.students.attention import Attending, Transformer
from acula_edge.students.config import AttentionBlock, Block, StudentConfig
from acula_edge.students.families import FAMILIES
from acula_edge.students.plan import plan_of
from acula_edge.students.streaming import StreamingStudent
from acula_edge.students.student import Student
from tests.students.shapes import heard, real_features

CONFIG = FAMILIES["attention"].config
(BLOCK, *_) = (block for block in CONFIG.blocks if isinstance(block, AttentionBlock))


@pytest.fixture(scope="module")
def features() -> Tensor:
    return real_features(6)


@pytest.fixture(scope="module")
def student(features: Tensor) -> Student:
    return heard(CONFIG, features)


def _attending(student: Student) -> list[tuple[int, Attending]]:
    """Place in the trunk, and the half of the block that attends."""
    return [
        (place, part)
        for place, block in enumerate(student.trunk)
        if isinstance(block, Transformer)
        for part in block
        if isinstance(part, Attending)
    ]


def _projected(part: nn.Module, x: Tensor) -> Tensor:
    """A 1 x 1 convolution and its normalisation, by functions alone."""
    convolution, norm = part.children()
    assert isinstance(norm, nn.BatchNorm2d)
    y = F.conv2d(x, convolution.weight)  # type: ignore[arg-type]
    return F.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)


def _heads(x: Tensor) -> Tensor:
    """(B, heads * D, 1, L) -> (B, heads, L, D), as PyTorch has it."""
    return x.flatten(2).unflatten(1, (BLOCK.heads, BLOCK.head_channels)).transpose(2, 3)


@torch.no_grad()
def test_it_is_scaled_dot_product_attention(student: Student, features: Tensor) -> None:
    assert len(_attending(student)) == 3
    for place, part in _attending(student):
        x = student.trunk[:place](features)
        query, key, value = (_heads(_projected(one, x)) for one in (part.query, part.key, part.value))
        told = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        expected = x + _projected(part.out, told.transpose(2, 3).reshape(x.shape))
        torch.testing.assert_close(part(x), expected, atol=1e-5, rtol=1e-5)
        # The clips ask for different things: no softmax is flat, and none has one answer alone.
        weights = (query @ key.transpose(2, 3)).softmax(-1)
        assert 1.5 / weights.shape[-1] < float(weights.amax(-1).median()) < 0.99


@torch.no_grad()
def test_the_query_begins_with_the_scale(features: Tensor) -> None:
    fresh = Student(CONFIG, *features.shape[2:], 20).eval()
    ((place, part), *_) = _attending(fresh)
    x = fresh.trunk[:place](features)
    query, key, value = (part.query(x), part.key(x), part.value(x))
    unscaled = _heads(query) * BLOCK.head_channels**0.5
    told = F.scaled_dot_product_attention(unscaled, _heads(key), _heads(value))
    expected = told.transpose(2, 3).reshape(x.shape)
    torch.testing.assert_close(part.attention(query, key, value), expected, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_every_position_hears_every_other_and_none_has_a_place(student: Student, features: Tensor) -> None:
    ((place, part), *_) = _attending(student)
    x = student.trunk[:place](features[:1])
    order = torch.randperm(x.shape[3], generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(part(x)[..., order], part(x[..., order]), atol=1e-5, rtol=1e-5)
    changed = x.clone()
    changed[..., 5] += 3.0
    moved = (part(changed) - part(x)).abs().amax((0, 1, 2))
    assert moved.min() > 0
    assert moved.argmax() == 5


def test_the_blocks_keep_the_map_and_attend_over_time_alone(student: Student, features: Tensor) -> None:
    ((place, _), *_) = _attending(student)
    assert student.trunk[:place](features).shape[2:] == (1, 32)


def test_a_small_block_by_hand() -> None:
    # 8 x 10 features: a map of 4 x 5; two heads of 3 channels, 20 positions.
    block = AttentionBlock(heads=2, head_channels=3, expansion=2)
    plan = plan_of(StudentConfig(stem_channels=4, blocks=(block,), embedding_dim=3), 8, 10, 2)
    held, scores = 4 * 6 * 20, 4 * 2 * 20 * 20
    assert [(layer.name, layer.macs, layer.activation_bytes) for layer in plan.layers[1:-3]] == [
        ("block 1 query", 20 * 4 * 6, 80 + held),
        ("block 1 key", 20 * 4 * 6, 80 + 2 * held),
        ("block 1 value", 20 * 4 * 6, 80 + 3 * held),
        ("block 1 scores", 3 * 2 * 400, 80 + 3 * held + scores),
        ("block 1 softmax", 0, 80 + held + 2 * scores),
        ("block 1 mix", 3 * 2 * 400, 80 + 2 * held + scores),
        ("block 1 out", 20 * 6 * 4, 80 + held + 80),
        ("block 1 first add", 0, 3 * 80),
        ("block 1 widen", 20 * 4 * 8, 80 + 160 + 80),
        ("block 1 narrow", 20 * 8 * 4, 160 + 80 + 80),
        ("block 1 second add", 0, 3 * 80),
    ]
    weights = 4 * 9 + 4 * 4 * 6 + 2 * 4 * 8 + 4 * 3 + 3 * 2
    assert plan.flash_bytes == weights + 8 * (4 + 3 * 6 + 4 + 8 + 4 + 3 + 2)
    assert [layer.shape for layer in plan.layers[4:7]] == [(2, 20, 20), (2, 20, 20), (6, 4, 5)]


def test_attention_has_no_streaming_form() -> None:
    blocks = (Block(channels=4), AttentionBlock(heads=1, head_channels=4, expansion=1))
    with pytest.raises(ValidationError, match="attention hears the whole clip"):
        StudentConfig(stem_channels=4, blocks=blocks, causal=True)
    offline = Student(StudentConfig(stem_channels=4, blocks=blocks), 8, 10, 3)
    with pytest.raises(UsageError, match="looks ahead"):
        StreamingStudent(offline)


@pytest.mark.parametrize("wrong", [{"heads": 0}, {"head_channels": 0}, {"expansion": 0}, {"channels": 8}])
def test_impossible_blocks_are_refused(wrong: dict[str, int]) -> None:
    block = {"heads": 2, "head_channels": 4, "expansion": 2, **wrong}
    with pytest.raises(ValidationError):
        StudentConfig.model_validate({"stem_channels": 4, "blocks": [block]})
