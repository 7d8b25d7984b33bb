"""The quantizer for XNNPACK: per-channel weights, min-max activations, ReLU6 fused into its convolution."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import MinMaxObserver
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, SharedQuantizationSpec
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

_EPS = 2**-12  # smallest scale that XNNPACK takes


class FusedReLU6Quantizer(XNNPACKQuantizer):  # type: ignore[misc]
    """XNNPACKQuantizer that measures a convolution after its ReLU6.

    The parent fuses ReLU only: it would give the convolution's output, negative half included, the 256
    steps that belong to [0, 6] alone, and put a rounding between the two.
    """

    def __init__(self) -> None:
        super().__init__()
        symmetric = get_symmetric_quantization_config(is_per_channel=True)
        # As in the .tflite: the whole range that calibration saw, so that both graphs have equal scales.
        activation = dataclasses.replace(
            symmetric.input_activation, observer_or_fake_quant_ctr=MinMaxObserver.with_args(eps=_EPS)
        )
        self.set_global(
            dataclasses.replace(symmetric, input_activation=activation, output_activation=activation)
        )

    def annotate(self, model: GraphModule) -> GraphModule:
        """Mark each convolution that feeds a ReLU6 alone, each padding, then the rest as the parent does."""
        for node in model.graph.nodes:
            if node.target is torch.ops.aten.hardtanh.default and _is_sole_user(node):
                self._annotate_pair(node.args[0], node)
            if node.target is torch.ops.aten.pad.default:
                self._annotate_padding(node)
        annotated: GraphModule = super().annotate(model)
        return annotated

    def _annotate_pair(self, convolution: Node, relu6: Node) -> None:
        config: Any = self.global_config
        convolution.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
            input_qspec_map={
                convolution.args[0]: config.input_activation,
                convolution.args[1]: config.weight,
            },
            _annotated=True,
        )
        relu6.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
            output_qspec=config.output_activation, _annotated=True
        )

    def _annotate_padding(self, padding: Node) -> None:
        """What is padded keeps its grid, on which zero lies; the parent would leave the padding in float."""
        source = padding.args[0]
        assert isinstance(source, Node)
        config: Any = self.global_config
        padding.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
            input_qspec_map={source: config.input_activation},
            output_qspec=SharedQuantizationSpec((source, padding)),
            _annotated=True,
        )


def _is_sole_user(relu6: Node) -> bool:
    source = relu6.args[0]
    return (
        isinstance(source, Node) and source.target is torch.ops.aten.conv2d.default and len(source.users) == 1
    )
