"""Latency and memory: real models, in fresh processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from acula_edge.artifact import Artifact
from acula_edge.bench import latency
from acula_edge.bench.latency import FRONT_END, NETWORK, WHOLE, measure
from acula_edge.bench.probe import Request
from acula_edge.bench.results import Performance
from acula_edge.contract import AudioContract
from acula_edge.errors import ToolError
from acula_edge.runtime.runner import Form, Runtime
from tests.bench.conftest import CONFIG


@pytest.fixture(scope="module")
def performance(mini_bundle: Artifact, mini_quantized: Artifact) -> Performance:
    return measure(mini_bundle, mini_quantized, CONFIG)


def test_front_end_network_and_whole_are_timed_in_every_runtime(performance: Performance) -> None:
    found = {(timing.part, timing.runtime, timing.precision) for timing in performance.timings}
    assert found == {
        (FRONT_END, "NumPy", "float64"),
        (NETWORK, "ExecuTorch", "INT8"),
        (NETWORK, "ExecuTorch", "float32"),
        (NETWORK, "LiteRT", "INT8"),
        (NETWORK, "LiteRT", "float32"),
        (NETWORK, "ONNX Runtime", "float32"),
        (WHOLE, "ExecuTorch", "INT8"),
        (WHOLE, "LiteRT", "INT8"),
    }
    assert performance.not_measured == ()


def test_every_sample_is_kept_and_summed_up(performance: Performance) -> None:
    for timing in performance.timings:
        assert len(timing.samples_ms) == CONFIG.latency_runs
        assert min(timing.samples_ms) > 0
        assert timing.median_ms == pytest.approx(np.median(timing.samples_ms))
        assert timing.p90_ms == pytest.approx(np.percentile(timing.samples_ms, 90))


def test_memory_and_size_are_those_of_the_model(performance: Performance, mini_bundle: Artifact) -> None:
    sizes = {entry.name: entry.bytes for entry in mini_bundle.manifest.files}
    for timing in performance.timings:
        assert 0 < timing.idle_bytes < timing.peak_bytes
        if timing.file in sizes:
            assert timing.size_bytes == sizes[timing.file]
            assert timing.model_bytes < 200 << 20


def test_memory_of_the_parent_is_not_counted(mini_bundle: Artifact) -> None:
    ballast = np.ones(400 << 20, dtype=np.uint8)
    found = latency._ask(_request(mini_bundle, None))
    assert ballast[-1] == 1
    assert found.peak_bytes < 300 << 20


def test_runtime_that_is_not_installed_is_named(
    mini_bundle: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "available", lambda _runtime: False)
    found = measure(mini_bundle, None, CONFIG)
    assert [timing.part for timing in found.timings] == [FRONT_END]
    assert len(found.not_measured) == 5
    assert "model.onnx: ONNX Runtime is not installed" in found.not_measured


def test_model_that_does_not_load_is_a_sentence(mini_bundle: Artifact, tmp_path: Path) -> None:
    damaged = tmp_path / "model.tflite"
    damaged.write_bytes(b"\0" * 4096)
    with pytest.raises(ToolError, match=r"model\.tflite can not be timed: .*can not be loaded"):
        latency._ask(_request(mini_bundle, damaged))


def test_every_runtime_has_its_imports_listed() -> None:
    from acula_edge.bench.probe import _IMPORTS

    assert set(_IMPORTS) == set(Runtime)


def _request(bundle: Artifact, file: Path | None) -> Request:
    return Request(
        file=file,
        form=Form.PCM,
        golden=bundle.file("golden.npz"),
        contract=AudioContract.of(bundle.manifest.contract),
        threads=1,
        runs=3,
        warmup=0,
    )
