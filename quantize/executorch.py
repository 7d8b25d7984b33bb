"""ExecuTorch: PT2E quantisation and lowering to XNNPACK."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from quantize.ops import OpTable, Steps, pte_ops
from quantize.scheme import STATIC, Scheme, SchemeConfig
from quantize.sites import Ranges, exported, observed_nodes
from quantize.xnnpack import FusedReLU6Quantizer


@dataclass(frozen=True)
class Lowered:
    """A .pte file's bytes and its op table."""

    program: bytes
    ops: OpTable


def quantise(
    network: nn.Module,
    features: Tensor,
    scheme: SchemeConfig = STATIC,
    ranges: Ranges | None = None,
) -> GraphModule:
    """INT8 network, float at its border.

    The activations' ranges are those of `ranges`, by site; without them, all that the network computes of
    `features` (n, 1, n_mels, n_frames).
    """
    prepared = prepare_pt2e(exported(network, features), FusedReLU6Quantizer(scheme))
    with torch.no_grad():
        # One clip is enough to measure the weights.
        for index in range(1 if ranges else len(features)):
            prepared(features[index : index + 1])
    if ranges and scheme.pte is Scheme.STATIC:
        _fix(prepared, ranges)
    quantised: GraphModule = convert_pt2e(prepared)
    return quantised


def _fix(prepared: GraphModule, ranges: Ranges) -> None:
    for node, observer in observed_nodes(prepared):
        observer.min_val.fill_(ranges[node.name].low)
        observer.max_val.fill_(ranges[node.name].high)


def lower(module: nn.Module, **examples: Tensor) -> Lowered:
    """Export with a batch of one and give XNNPACK all that it takes.

    Each keyword names a method and gives its example, which must be contiguous; methods share their
    weights in the file. The op table is that of the method `forward`.
    """
    programs = {name: torch.export.export(module, (example,)) for name, example in examples.items()}
    lowered = to_edge_transform_and_lower(programs, partitioner=[XnnpackPartitioner()])
    ops = pte_ops(programs["forward"].graph, lowered.exported_program("forward").graph_module)
    return Lowered(lowered.to_executorch().buffer, ops)


def border_steps(quantised: GraphModule) -> dict[str, Steps]:
    """Scale and zero point of the INT8 tensors behind features, embedding and logits, where there are."""
    (features,) = (node for node in quantised.graph.nodes if node.op == "placeholder")
    (output,) = (node for node in quantised.graph.nodes if node.op == "output")
    ends = {
        "features": next(iter(features.users)),
        **dict(zip(("embedding", "logits"), output.args[0], strict=True)),
    }
    grids = {name: node.args[1:3] for name, node in ends.items() if _is_static_step(node)}
    return {name: Steps(float(scale), int(zero)) for name, (scale, zero) in grids.items()}


def _is_static_step(node: Node) -> bool:
    return node.target in (
        torch.ops.quantized_decomposed.quantize_per_tensor.default,
        torch.ops.quantized_decomposed.dequantize_per_tensor.default,
    )
