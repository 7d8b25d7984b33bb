"""LiteRT: conversion to .tflite and quantisation, on the grids of the sites that other runtimes share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Set

import litert_torch
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from ai_edge_quantizer import qtyping
from ai_edge_quantizer.quantizer import Quantizer
from numpy.typing import NDArray
from torch import Tensor, nn

from quantize.ranges import Observer, Range, estimate
from quantize.scheme import STATIC, Scheme, SchemeConfig
from quantize.sites import Ranges, Site
from quantize.statistics import Statistics

_FLOAT = "no_quantize"
_FRONT_END = "LogMel"  # the class of the front end, part of its tensors' names
# Float in every scheme: the delegate has no other kernels for products of two activations and for softmax.
_ATTENTION = r"\.Attention_"
_ALL = qtyping.TFLOperationName
_GRANULARITY = {True: qtyping.QuantGranularity.CHANNELWISE, False: qtyping.QuantGranularity.TENSORWISE}
_FIXED = (Scheme.STATIC, Scheme.INT16)  # schemes whose activations have fixed ranges


def convert(module: nn.Module, name: str, example: Tensor) -> bytes:
    """A float .tflite with the input `name`, outputs as the module names them, and a batch of one."""
    converted = litert_torch.convert(module.eval(), sample_kwargs={name: example})
    return bytes(converted.model_content())


def quantise(
    float_model: bytes,
    name: str,
    items: NDArray[np.generic],
    scheme: SchemeConfig = STATIC,
    sites: Mapping[str, Site] | None = None,
    ranges: Ranges | None = None,
) -> bytes:
    """The .tflite of a float one under `scheme.tflite`.

    `items` (n, ...) are the calibration clips, the first of which is that of the sites. A tensor that is
    found among the sites has its range from `ranges`; one that this graph alone has, such as a sum before
    its bias, has all that it held over `items`. A front end inside the graph, the input and the outputs
    stay as they are.
    """
    quantizer = Quantizer(float_model)
    _RECIPES[scheme.tflite](quantizer, _GRANULARITY[scheme.per_channel])
    _keep_float(quantizer, (_FRONT_END, _ATTENTION))
    if scheme.tflite not in _FIXED:
        _keep_float(quantizer, map(_pattern, scheme.float_modules))
        return bytes(quantizer.quantize().quantized_model)
    tensors = _Tensors(float_model, name, items)
    of_site = tensors.find(sites or {})
    inside = [tensor for tensor, site in of_site.items() if scheme.keeps_float((sites or {})[site].module)]
    _keep_float(quantizer, [*map(_pattern, scheme.float_modules), *map(_exactly, inside)])
    for operation in (_ALL.INPUT, _ALL.OUTPUT):
        quantizer.update_quantization_recipe(".*", operation, algorithm_key=_FLOAT)
    found = {tensor: (ranges or {})[site] for tensor, site in of_site.items()} | tensors.measure(set(of_site))
    if scheme.symmetric:
        found = {tensor: cut.symmetric for tensor, cut in found.items()}
    return bytes(quantizer.quantize(dict(map(_qsv, found.items()))).quantized_model)


def _keep_float(quantizer: Quantizer, patterns: Iterable[str]) -> None:
    for pattern in patterns:
        quantizer.update_quantization_recipe(pattern, _ALL.ALL_SUPPORTED, algorithm_key=_FLOAT)


def _pattern(module: str) -> str:
    """Matches the tensors of a module: `a.0` is `Class_a/Class_0` in their names."""
    parts = "/".join(f"[^/;]*_{re.escape(part)}" for part in module.split("."))
    return f"/{parts}(?:/|;|$)"


def _exactly(tensor: str) -> str:
    return f"^{re.escape(tensor)};?$"


def _qsv(found: tuple[str, Range]) -> tuple[str, qtyping.QSV]:
    tensor, cut = found
    return tensor, {"min": np.array([cut.low], np.float32), "max": np.array([cut.high], np.float32)}


class _Tensors:
    """What the network's own float tensors hold while the graph runs clip after clip."""

    def __init__(self, float_model: bytes, name: str, items: NDArray[np.generic]) -> None:
        # Without the delegate: it would keep its inner tensors to itself.
        self._interpreter = Interpreter(
            model_content=float_model,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            num_threads=1,
        )
        self._runner = self._interpreter.get_signature_runner()
        self._name, self._items = name, items
        details = {tensor["index"]: tensor for tensor in self._interpreter.get_tensor_details()}
        made = [int(index) for op in self._interpreter._get_ops_details() for index in op["outputs"]]
        inputs = [int(index["index"]) for index in self._interpreter.get_input_details()]
        self._indices = {
            details[index]["name"]: index
            for index in (*inputs, *made)
            if details[index]["dtype"] == np.float32
        }

    def find(self, sites: Mapping[str, Site]) -> dict[str, str]:
        """The site of each tensor that holds one's values."""
        self._run(0)
        found = {}
        for tensor, index in self._indices.items():
            values = self._interpreter.get_tensor(index)
            name = next((name for name, site in sites.items() if site.held(values)), None)
            if name is not None:
                found[tensor] = name
        return found

    def measure(self, known: Set[str]) -> dict[str, Range]:
        """All that each tensor of the network which is not `known` held over the clips."""
        others = self._indices.keys() - known
        wanted = {name: self._indices[name] for name in sorted(others) if _FRONT_END not in name}
        seen = {name: Statistics() for name in wanted}
        for clip in range(len(self._items) if wanted else 0):
            self._run(clip)
            for name, index in wanted.items():
                seen[name].add(self._interpreter.get_tensor(index))
        return {name: estimate(Observer.MIN_MAX, statistics, 100) for name, statistics in seen.items()}

    def _run(self, clip: int) -> None:
        self._runner(**{self._name: self._items[clip : clip + 1]})


def _static(bits: int) -> Callable[[Quantizer, qtyping.QuantGranularity], None]:
    def add(quantizer: Quantizer, granularity: qtyping.QuantGranularity) -> None:
        quantizer.add_static_config(".*", _ALL.ALL_SUPPORTED, bits, 8, granularity)

    return add


def _dynamic(quantizer: Quantizer, granularity: qtyping.QuantGranularity) -> None:
    quantizer.add_dynamic_config(".*", _ALL.ALL_SUPPORTED, 8, granularity)
    # tflite-runtime 2.14 reads the first scale alone, without a word, and gives wrong numbers for several.
    quantizer.add_dynamic_config(".*", _ALL.FULLY_CONNECTED, 8, _GRANULARITY[False])


def _weight_only(quantizer: Quantizer, granularity: qtyping.QuantGranularity) -> None:
    quantizer.add_weight_only_config(".*", _ALL.ALL_SUPPORTED, 8, granularity)


_RECIPES: Mapping[Scheme, Callable[[Quantizer, qtyping.QuantGranularity], None]] = {
    Scheme.STATIC: _static(8),
    Scheme.INT16: _static(16),
    Scheme.DYNAMIC: _dynamic,
    Scheme.WEIGHT_ONLY: _weight_only,
}
