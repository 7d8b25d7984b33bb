"""ExecuTorch: PT2E quantisation and lowering to XNNPACK."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from quantize.ops import OpTable, Steps, pte_ops
from quantize.xnnpack import FusedReLU6Quantizer


@dataclass(frozen=True)
class Lowered:
    """A .pte file's bytes and its op table."""

    program: bytes
    ops: OpTable


def quantise(network: nn.Module, features: Tensor) -> GraphModule:
    """INT8 network (float at its border), its ranges measured on `features` (n, 1, n_mels, n_frames)."""
    exported = torch.export.export(network, (features[:1],)).module()
    prepared = prepare_pt2e(exported, FusedReLU6Quantizer())
    with torch.no_grad():
        for index in range(len(features)):
            prepared(features[index : index + 1])
    quantised: GraphModule = convert_pt2e(prepared)
    return quantised


def lower(module: nn.Module, **examples: Tensor) -> Lowered:
    """Export with a batch of one and give XNNPACK all that it takes.

    Each keyword names a method and gives its example, which must be contiguous; methods share their
    weights in the file. The op table is that of the method `forward`.
    """
    exported = {name: torch.export.export(module, (example,)) for name, example in examples.items()}
    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    ops = pte_ops(exported["forward"].graph, lowered.exported_program("forward").graph_module)
    return Lowered(lowered.to_executorch().buffer, ops)


def border_steps(quantised: GraphModule) -> dict[str, Steps]:
    """Scale and zero point of the INT8 tensors behind features, embedding and logits."""
    (features,) = (node for node in quantised.graph.nodes if node.op == "placeholder")
    (output,) = (node for node in quantised.graph.nodes if node.op == "output")
    quantised_features = next(user for user in features.users if "quantize" in str(user.target))
    results: Sequence[Node] = output.args[0]
    ends = {"features": quantised_features, **dict(zip(("embedding", "logits"), results, strict=True))}
    return {name: Steps(float(node.args[1]), int(node.args[2])) for name, node in ends.items()}
