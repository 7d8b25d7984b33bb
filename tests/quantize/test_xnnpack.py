"""ReLU6 is measured together with its convolution."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.fx import GraphModule

from acula_edge.runtime.divert import divert_output
from acula_edge.students.config import Block, StudentConfig
from acula_edge.students.student import Student


@pytest.fixture(scope="module")
def quantised() -> GraphModule:
    torch.manual_seed(0)
    config = StudentConfig(stem_channels=4, blocks=(Block(channels=6),), embedding_dim=5)
    model = Student(config, 8, 10, 3).eval()
    nn.init.constant_(model.trunk[0][1].weight, 20.0)  # the stem goes far beyond [0, 6]
    with divert_output():
        from quantize.executorch import quantise

        return quantise(model, torch.randn(8, 1, 8, 10))


def _calls(graph: GraphModule, target: object) -> list[torch.fx.Node]:
    return [node for node in graph.graph.nodes if node.target is target]


def test_a_convolution_feeds_its_relu6_without_a_rounding(quantised: GraphModule) -> None:
    pairs = _calls(quantised, torch.ops.aten.hardtanh.default)
    assert len(pairs) == 3
    for relu6 in pairs:
        assert relu6.args[0].target is torch.ops.aten.conv2d.default
        (rounding,) = relu6.users
        assert rounding.target is torch.ops.quantized_decomposed.quantize_per_tensor.default


def test_all_256_steps_go_to_the_range_that_relu6_leaves(quantised: GraphModule) -> None:
    stem = _calls(quantised, torch.ops.aten.hardtanh.default)[0]
    (rounding,) = stem.users
    _, scale, zero_point, low, high, dtype = rounding.args
    assert (low, high, dtype) == (-128, 127, torch.int8)
    assert scale == pytest.approx(6 / 255, rel=1e-3)
    assert zero_point == -128


def test_weights_are_int8_for_each_output_channel(quantised: GraphModule) -> None:
    operators = [
        *_calls(quantised, torch.ops.aten.conv2d.default),
        *_calls(quantised, torch.ops.aten.linear.default),
    ]
    assert len(operators) == 5
    for node in operators:
        weight = node.args[1]
        assert weight.target is torch.ops.quantized_decomposed.dequantize_per_channel.default
        assert weight.args[-1] is torch.int8
