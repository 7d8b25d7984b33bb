"""The quantizer for XNNPACK: min-max activations, ReLU6 fused into its convolution, some modules in float."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import (
    FakeQuantize,
    MinMaxObserver,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
)
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, SharedQuantizationSpec
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

from quantize.scheme import Scheme, SchemeConfig

# Observers of weights, of all channels together and of each.
_LAST = {False: MovingAverageMinMaxObserver, True: MovingAveragePerChannelMinMaxObserver}
_EPS = 2**-12  # smallest scale that XNNPACK takes


class FusedReLU6Quantizer(XNNPACKQuantizer):  # type: ignore[misc]
    """XNNPACKQuantizer that measures a convolution after its ReLU6.

    The parent fuses ReLU only: it would give the convolution's output, negative half included, the 256
    steps that belong to [0, 6] alone, and put a rounding between the two. It would also give the mean of a
    map the steps of the map, of whose range a mean takes a small part. For `training`, each observer also
    rounds what passes, and the weights' observers know the last weights only.
    """

    def __init__(self, scheme: SchemeConfig, training: bool = False) -> None:
        super().__init__()
        self._scheme = scheme
        self._dynamic = scheme.pte is Scheme.DYNAMIC
        config = get_symmetric_quantization_config(scheme.per_channel, is_dynamic=self._dynamic)
        if not self._dynamic:
            # As in the .tflite: the whole range that calibration saw, so that both graphs have equal scales.
            measured = _with(config.input_activation, training, MinMaxObserver)
            config = dataclasses.replace(config, input_activation=measured, output_activation=measured)
        if training:
            last = {"averaging_constant": 1.0}  # a moving average of one step is the last step
            weight = _with(config.weight, training, _LAST[scheme.per_channel], **last)
            config = dataclasses.replace(config, weight=weight)
        self.set_global(config)
        self.set_filter_function(self._is_integer)

    def annotate(self, model: GraphModule) -> GraphModule:
        """Mark each convolution that feeds a ReLU6 alone, each padding and mean, then the rest."""
        if not self._dynamic:
            for node in model.graph.nodes:
                if self._is_integer(node):
                    self._annotate_own(node)
                elif node.target is torch.ops.aten.pad.default and self._is_integer(node.all_input_nodes[0]):
                    # XNNPACK takes no float padding of what lies on a grid; the padded grid is the same.
                    self._annotate_padding(node)
        annotated: GraphModule = super().annotate(model)
        return annotated

    def _annotate_own(self, node: Node) -> None:
        if node.target is torch.ops.aten.hardtanh.default and _is_sole_user(node):
            convolution = node.args[0]
            assert isinstance(convolution, Node)
            if self._is_integer(convolution):
                self._annotate_pair(convolution, node)
        elif node.target is torch.ops.aten.pad.default:
            self._annotate_padding(node)
        elif node.target is torch.ops.aten.mean.dim:
            self._annotate_mean(node)

    def _is_integer(self, node: Node) -> bool:
        # ExecuTorch looks for a dynamic convolution's map beyond the reshape, and turns the axes of another.
        lost = self._dynamic and _reads_reshaped(node)
        return not lost and not self._scheme.keeps_float(module_of(node))

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

    def _annotate_mean(self, mean: Node) -> None:
        config: Any = self.global_config
        mean.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
            input_qspec_map={mean.args[0]: config.input_activation},
            output_qspec=config.output_activation,
            _annotated=True,
        )


def _with(spec: Any, training: bool, observer: Any, **settings: float) -> Any:
    settings["eps"] = _EPS
    made = (
        FakeQuantize.with_args(observer=observer, **settings) if training else observer.with_args(**settings)
    )
    return dataclasses.replace(spec, observer_or_fake_quant_ctr=made)


def module_of(node: Node) -> str:
    """The dotted name of the module that computes a node, as `named_modules` has it; empty for none."""
    stack = node.meta.get("nn_module_stack") or {"": ("", None)}
    name, _ = list(stack.values())[-1]
    return str(name).removeprefix("L['self']").removeprefix(".")


def _reads_reshaped(node: Node) -> bool:
    """Whether a convolution reads what attention has put into the shape of a map."""
    source = node.args[0] if node.target is torch.ops.aten.conv2d.default else None
    return isinstance(source, Node) and source.target is torch.ops.aten.reshape.default


def _is_sole_user(relu6: Node) -> bool:
    source = relu6.args[0]
    return (
        isinstance(source, Node) and source.target is torch.ops.aten.conv2d.default and len(source.users) == 1
    )
