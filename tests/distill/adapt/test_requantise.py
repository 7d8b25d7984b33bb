"""Requantisation: against the quantizer's own functions, and against TFLite's reference kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from acula_edge.artifact import Artifact
from acula_edge.errors import ArtifactError
from acula_edge.runtime.golden import GOLDEN, Golden
from acula_edge.students.store import load_student
from distill.adapt.layer import FloatLayer, Grid, Kind, Layer, Site
from distill.adapt.names import MODEL, MODEL_PCM
from distill.adapt.requantise import fixed_point, moved, requantise
from distill.adapt.tail import Tail
from distill.adapt.tflite_file import TfliteFile
from tests.distill.adapt.reference import run_layer

SITE = Site(Kind.FULLY_CONNECTED, (3, 4), Grid(0.5, 3), Grid(0.25, -7), (-128, 127))


@pytest.fixture(scope="module")
def layers(shipped: Artifact) -> list[Layer]:
    floats = Tail(load_student(shipped)).layers()
    sites = TfliteFile(shipped.file(MODEL), [layer.kind for layer in floats]).sites
    return [requantise(layer, site) for layer, site in zip(floats, sites, strict=True)]


@given(st.floats(2.0**-30, 2.0**20, exclude_max=True))
def test_fixed_point_is_the_factor_to_31_bits(factor: float) -> None:
    multiplier, shift = fixed_point(factor)
    assert 2**30 <= multiplier < 2**31
    assert multiplier * 2.0 ** (shift - 31) == pytest.approx(factor, rel=2.0**-31)


def test_factors_at_the_ends() -> None:
    assert fixed_point(0.5) == (2**30, 0)
    assert fixed_point(1.0 - 2.0**-40) == (2**30, 1)  # the fraction rounds up to 1
    assert fixed_point(2.0**-40) == (0, 0)


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
def test_numbers_are_those_of_the_quantizer(seed: int, size: float) -> None:
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.algorithms.uniform_quantize import uniform_quantize_tensor as theirs

    rng = np.random.default_rng(seed)
    weights, bias = (rng.normal(0, size, shape).astype(np.float32) for shape in ((3, 4), (3,)))
    layer = requantise(FloatLayer(Kind.FULLY_CONNECTED, weights, bias), SITE)
    least, most = weights.min(axis=1, keepdims=True), weights.max(axis=1, keepdims=True)
    channelwise = qtyping.QuantGranularity.CHANNELWISE
    zero, scale = theirs.tensor_zp_scale_from_min_max(least, most, 8, True, channelwise)
    grid = qtyping.UniformQuantParams(8, 0, scale, zero, True)
    np.testing.assert_array_equal(layer.weights, theirs.uniform_quantize(weights, grid))
    np.testing.assert_array_equal(layer.weight_scales, scale.ravel())
    given_grid = qtyping.UniformQuantParams(
        8, None, np.array([SITE.input.scale], np.float32), np.array([3]), False
    )
    quantised = theirs.symmetric_quantize_bias_tensor(bias, given_grid, grid)
    np.testing.assert_array_equal(layer.biases, quantised.quantized_data)
    constant = requantise(FloatLayer(Kind.ADD, bias, bias[:0]), _add_site())
    zero, scale = theirs.tensor_zp_scale_from_min_max(
        bias.min(), bias.max(), 8, False, qtyping.QuantGranularity.TENSORWISE
    )
    grid = qtyping.UniformQuantParams(8, None, np.atleast_1d(scale), np.atleast_1d(zero), False)
    assert (constant.weight_zero_point, constant.weight_scales[0]) == (zero, scale)
    np.testing.assert_array_equal(constant.weights, theirs.uniform_quantize(bias, grid))


def test_integers_are_what_the_reference_kernels_compute(shipped: Artifact, layers: list[Layer]) -> None:
    """Each layer on the tensors of real clips inside the .tflite: a firmware needs no number but these.

    The clips come under more and more noise too: a rounding that is wrong shows in one value of a thousand.
    """
    clean = np.ascontiguousarray(Golden.read(shipped.file(GOLDEN)).features)
    noise = np.random.default_rng(0).normal(0, 1, clean.shape).astype(np.float32)
    for clip in np.concatenate([clean + level * noise for level in np.float32([0, 0.1, 0.3, 0.6, 1])]):
        tensors, operators = _run_reference(shipped, clip[None])
        weighted = [op for op in operators if op["op_name"] in _NAMES and _is_ours(op, tensors)]
        for layer, operator in zip(layers, _in_order(weighted, layers), strict=True):
            source, result = (tensors[int(operator[end][0])] for end in ("inputs", "outputs"))
            np.testing.assert_array_equal(run_layer(layer, source), result)


_NAMES = {
    "CONV_2D": Kind.CONVOLUTION,
    "DEPTHWISE_CONV_2D": Kind.DEPTHWISE,
    "FULLY_CONNECTED": Kind.FULLY_CONNECTED,
    "ADD": Kind.ADD,
}


def _is_ours(operator: dict[str, Any], tensors: dict[int, NDArray[Any]]) -> bool:
    return tensors[int(operator["outputs"][0])].dtype == np.int8


def _in_order(operators: list[dict[str, Any]], layers: list[Layer]) -> list[dict[str, Any]]:
    left = operators[-len(layers) :]
    order = []
    for layer in layers:
        found = next(op for op in left if _NAMES[op["op_name"]] is layer.site.kind)
        left.remove(found)
        order.append(found)
    return order


def _run_reference(
    bundle: Artifact, features: NDArray[np.float32]
) -> tuple[dict[int, NDArray[Any]], list[dict[str, Any]]]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=str(bundle.file(MODEL)),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], features)
    interpreter.invoke()
    operators = interpreter._get_ops_details()
    wanted = {int(op[end][0]) for op in operators for end in ("inputs", "outputs")}
    return {index: interpreter.get_tensor(index) for index in wanted}, operators


def test_a_layer_moves_to_the_grids_of_the_other_graph(shipped: Artifact, layers: list[Layer]) -> None:
    file = TfliteFile(shipped.file(MODEL_PCM), [layer.site.kind for layer in layers])
    there = [moved(layer, site) for layer, site in zip(layers, file.sites, strict=True)]
    for layer, (weights, scales, biases) in zip(there, file.layers(), strict=True):
        np.testing.assert_array_equal(layer.weights, weights)
        np.testing.assert_array_equal(layer.weight_scales, scales)
        np.testing.assert_array_equal(layer.biases, biases)
    with pytest.raises(ArtifactError, match="another kind or shape"):
        moved(layers[-1], layers[0].site)


@pytest.mark.parametrize("spoilt", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(spoilt: float) -> None:
    weights = np.ones((3, 4), np.float32)
    weights[1, 2] = spoilt
    with pytest.raises(ArtifactError, match="NaN or infinite"):
        requantise(FloatLayer(Kind.FULLY_CONNECTED, weights, np.zeros(3, np.float32)), SITE)


def test_another_shape_is_refused() -> None:
    layer = FloatLayer(Kind.FULLY_CONNECTED, np.ones((4, 3), np.float32), np.zeros(4, np.float32))
    with pytest.raises(ArtifactError, match=r"of shape \(3, 4\) is not the student's"):
        requantise(layer, SITE)


def _add_site() -> Site:
    return Site(Kind.ADD, (3,), Grid(0.5, 3), Grid(0.25, -7), (-128, 127))
