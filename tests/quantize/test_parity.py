"""Hops and bounds, on outputs made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.spatial.distance import cosine

from acula_edge.errors import GateError
from acula_edge.runtime.runner import Outputs
from quantize.config import QuantizeConfig
from quantize.parity import EAGER, FORMS, compare, cosines, different_clips, require

NAMES = ("a", "b", "c")


def _outputs() -> dict[str, Outputs]:
    rng = np.random.default_rng(0)
    embedding = rng.normal(size=(3, 8))
    embedding = (embedding / np.linalg.norm(embedding, axis=1, keepdims=True)).astype(np.float32)
    logits = rng.normal(size=(3, 4)).astype(np.float32)
    return {name: Outputs(embedding.copy(), logits.copy()) for name in (EAGER, *FORMS)}


def test_equal_outputs_pass_every_hop() -> None:
    hops = compare(_outputs(), NAMES, QuantizeConfig())
    assert all(hop.passed for hop in hops)
    require(hops)


@pytest.mark.parametrize("part", ["embedding", "logits"])
@pytest.mark.parametrize("name", ["float.pte", "float.tflite", "model.onnx"])
def test_one_wrong_number_of_one_clip_is_found_and_named(name: str, part: str) -> None:
    outputs = _outputs()
    getattr(outputs[name], part)[1, 2] += np.float32(2e-4)
    failed = [hop for hop in compare(outputs, NAMES, QuantizeConfig()) if not hop.passed]
    (hop,) = failed
    assert hop.name == f"{EAGER} = {name}"
    assert hop.recording == "b"
    assert hop.worst == pytest.approx(2e-4, rel=1e-2)
    with pytest.raises(GateError, match=rf"{name}.*bound 0\.0001, clip of b"):
        require(failed)


@pytest.mark.parametrize(
    ("name", "hops"),
    [
        ("model.tflite", {"model.pte = model.tflite", "model.tflite = model_pcm.tflite"}),
        ("graph.onnx", {"model.pte = graph.onnx"}),
        ("model_pcm.pte", {"model.pte = model_pcm.pte"}),
        ("model_pcm.tflite", {"model.tflite = model_pcm.tflite"}),
    ],
)
def test_one_turned_embedding_fails_its_cosine(name: str, hops: set[str]) -> None:
    outputs = _outputs()
    outputs[name].embedding[2] *= -1
    failed = {hop.name: hop for hop in compare(outputs, NAMES, QuantizeConfig()) if not hop.passed}
    assert set(failed) == hops
    assert {hop.recording for hop in failed.values()} == {"c"}
    assert all(hop.worst == pytest.approx(-1) for hop in failed.values())


@pytest.mark.parametrize(("length", "passes"), [(1.0, False), (0.2, True)])
def test_an_error_counts_as_that_of_an_embedding_of_median_length(length: float, passes: bool) -> None:
    outputs = _outputs()
    for said in outputs.values():
        said.embedding[1] *= length
    aside = np.linalg.svd(outputs[EAGER].embedding[1:2])[2][1] * 0.6 * length  # at a right angle to the clip
    outputs["model.tflite"].embedding[1] += aside.astype(np.float32)
    (hop,) = (
        hop for hop in compare(outputs, NAMES, QuantizeConfig()) if hop.name == "model.pte = model.tflite"
    )
    rest = np.sqrt(1 - length**2)
    pair = (np.append(outputs[name].embedding[1], rest) for name in ("model.pte", "model.tflite"))
    assert hop.worst == pytest.approx(1 - cosine(*pair), abs=1e-6)
    assert hop.passed is passes


def test_a_nan_fails() -> None:
    outputs = _outputs()
    outputs["float.pte"].embedding[0, 0] = np.nan
    outputs["model.pte"].embedding[0, 0] = np.nan
    failed = {hop.name for hop in compare(outputs, NAMES, QuantizeConfig()) if not hop.passed}
    assert failed == {
        "eager float = float.pte",
        "model.pte = model.tflite",
        "model.pte = graph.onnx",
        "model.pte = model_pcm.pte",
    }


def test_quantisation_error_is_reported_and_not_gated() -> None:
    outputs = _outputs()
    for name in ("model.pte", "model.tflite", "model_pcm.pte", "model_pcm.tflite", "graph.onnx"):
        outputs[name].embedding[:] = outputs[name].embedding[:, ::-1]
    hops = compare(outputs, NAMES, QuantizeConfig())
    reported = [hop for hop in hops if hop.bound is None]
    assert [hop.name for hop in reported] == [f"{EAGER} = model.pte", f"{EAGER} = model.tflite"]
    assert all(hop.worst < 0.9 for hop in reported)
    require(hops)


vectors = npst.arrays(
    np.float32, (5, 6), elements=st.floats(-10, 10, width=32).filter(lambda v: abs(v) > 0.01)
)


@given(vectors, vectors)
def test_cosines_equal_scipys(one: np.ndarray, other: np.ndarray) -> None:
    expected = [
        1 - cosine(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(one, other, strict=True)
    ]
    np.testing.assert_allclose(cosines(one, other), expected, atol=1e-9)


def test_different_clips_leaves_each_clip_with_itself_out() -> None:
    embedding = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    outputs = Outputs(embedding, embedding)
    assert different_clips(outputs) == pytest.approx(np.sqrt(0.5))
