"""Every runtime behind one interface: same outputs, same errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from acula_edge.artifact import Artifact
from acula_edge.contract import AudioContract
from acula_edge.errors import ArtifactError, ContractError, ToolError, UsageError
from acula_edge.frontend import log_mel
from acula_edge.runtime import runner as runner_module
from acula_edge.runtime.golden import GOLDEN, Golden
from acula_edge.runtime.runner import Runtime, available, open_runner

FEATURE_FILES = ("model.pte", "model.tflite", "model.onnx")
PCM_FILES = ("model_pcm.pte", "model_pcm.tflite")


@pytest.fixture(scope="module")
def golden(mini_bundle: Artifact) -> Golden:
    return Golden.read(mini_bundle.file(GOLDEN))


@pytest.mark.parametrize("name", FEATURE_FILES)
def test_a_batch_is_its_items_in_turn(mini_bundle: Artifact, golden: Golden, name: str) -> None:
    runner = open_runner(mini_bundle.file(name))
    together = runner.run(golden.features[:4])
    assert together.embedding.dtype == together.logits.dtype == np.float32
    assert together.embedding.shape == (4, 128)
    assert len(together.logits) == 4
    for index in reversed(range(4)):
        alone = runner.run(golden.features[index : index + 1])
        assert np.array_equal(alone.embedding[0], together.embedding[index])
        assert np.array_equal(alone.logits[0], together.logits[index])


@pytest.mark.parametrize("name", FEATURE_FILES)
def test_a_view_with_other_strides_is_not_misread(mini_bundle: Artifact, golden: Golden, name: str) -> None:
    runner = open_runner(mini_bundle.file(name))
    view = np.asfortranarray(golden.features[:2])
    assert not view.flags.c_contiguous
    assert np.array_equal(runner.run(view).embedding, runner.run(golden.features[:2]).embedding)


@pytest.mark.parametrize(("pcm_file", "feature_file"), list(zip(PCM_FILES, FEATURE_FILES, strict=False)))
def test_pcm_in_is_the_numpy_front_end_then_features_in(
    mini_bundle: Artifact, golden: Golden, pcm_file: str, feature_file: str
) -> None:
    contract = AudioContract.of(mini_bundle.manifest.contract)
    features = np.ascontiguousarray(log_mel(golden.pcm, contract)[:, None])
    inside = open_runner(mini_bundle.file(pcm_file)).run(golden.pcm)
    outside = open_runner(mini_bundle.file(feature_file)).run(features)
    cosine = (inside.embedding * outside.embedding).sum(1) / (
        np.linalg.norm(inside.embedding, axis=1) * np.linalg.norm(outside.embedding, axis=1)
    )
    # A feature near the middle of an INT8 step may fall to either side of it: not bit for bit.
    assert cosine.min() > 0.995
    assert np.median(cosine) > 0.9999


@pytest.mark.parametrize("name", [*FEATURE_FILES, *PCM_FILES])
@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((1, 1, 48, 250), np.float32),
        np.zeros((1, 1, 48, 249), np.float64),
        np.zeros((1, 32001), np.int16),
        np.zeros((1, 32000), np.int32),
        np.zeros((32000,), np.int16),
    ],
)
def test_a_wrong_batch_is_refused(mini_bundle: Artifact, name: str, batch: NDArray[np.generic]) -> None:
    with pytest.raises(ContractError, match=rf"{name} takes (float32|int16) items of shape"):
        open_runner(mini_bundle.file(name)).run(batch)


def test_an_empty_batch_is_refused(mini_bundle: Artifact, golden: Golden) -> None:
    with pytest.raises(ContractError, match="empty batch"):
        open_runner(mini_bundle.file("model.tflite")).run(golden.features[:0])


@pytest.mark.parametrize("suffix", [".pte", ".tflite", ".onnx"])
@pytest.mark.parametrize("damage", ["empty", "text", "half", "header"])
def test_a_damaged_file_is_told_in_a_sentence(
    mini_bundle: Artifact, tmp_path: Path, suffix: str, damage: str
) -> None:
    whole = mini_bundle.file(f"model{suffix}").read_bytes()
    damaged = {
        "empty": b"",
        "text": b"not a model at all " * 40,
        "half": whole[: len(whole) // 2],
        "header": bytes(64) + whole[64:],
    }
    path = tmp_path / f"model{suffix}"
    path.write_bytes(damaged[damage])
    with pytest.raises(ArtifactError, match=r"can not be loaded \(.+\); it is damaged") as caught:
        open_runner(path)
    assert "\n" not in str(caught.value)


def test_usage_errors_name_what_is_known(tmp_path: Path) -> None:
    strange = tmp_path / "model.mlmodel"
    strange.write_bytes(b"x")
    with pytest.raises(UsageError, match=r"model\.mlmodel.*\.pte, \.tflite, \.onnx"):
        open_runner(strange)
    with pytest.raises(ArtifactError, match="there is no model file"):
        open_runner(tmp_path / "absent.tflite")
    with pytest.raises(UsageError, match="threads must be at least 1"):
        open_runner(tmp_path / "absent.tflite", threads=0)


@pytest.mark.parametrize("runtime", list(Runtime))
def test_a_missing_package_names_the_command(
    mini_bundle: Artifact, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert available(runtime)
    monkeypatch.setattr(runner_module.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ToolError, match="pip install"):
        open_runner(mini_bundle.file(f"model.{runtime}"))


def _fresh(code: str) -> str:
    """stdout of `code` in a fresh process, which must print nothing else."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def test_tflite_needs_neither_torch_nor_the_exporters(mini_bundle: Artifact) -> None:
    code = f"""
import sys
from pathlib import Path
import numpy as np
from acula_edge.runtime.runner import open_runner
open_runner(Path({str(mini_bundle.file("model_pcm.tflite"))!r})).run(np.zeros((1, 32000), np.int16))
print(sorted(set(sys.modules) & {{"torch", "executorch", "onnxruntime", "litert_torch", "jax", "scipy"}}))
"""
    assert _fresh(code) == "[]\n"


def test_pte_runs_in_a_clean_process_without_the_exporter(mini_bundle: Artifact) -> None:
    code = f"""
import sys
from pathlib import Path
import numpy as np
from acula_edge.errors import UsageError
from acula_edge.runtime.runner import open_runner
path = Path({str(mini_bundle.file("model_pcm.pte"))!r})
open_runner(path, threads=3).run(np.zeros((1, 32000), np.int16))
print("executorch.exir" in sys.modules)
try:
    open_runner(path, threads=1)
except UsageError as error:
    print(error)
"""
    first, second = _fresh(code).splitlines()
    assert first == "False"
    assert second == (
        "model_pcm.pte: .pte files run with 3 threads in this process, not 1; start another process"
    )


@pytest.mark.parametrize("name", ["model.tflite", "model.onnx"])
def test_more_threads_give_the_same_int8_and_nearly_the_same_float_outputs(
    mini_bundle: Artifact, golden: Golden, name: str
) -> None:
    one = open_runner(mini_bundle.file(name), threads=1).run(golden.features[:4])
    two = open_runner(mini_bundle.file(name), threads=2).run(golden.features[:4])
    np.testing.assert_allclose(one.embedding, two.embedding, atol=1e-5 if name.endswith("onnx") else 0)
