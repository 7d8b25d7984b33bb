"""The .pte for a Cortex-M: what the lowering keeps of the student. It runs on no machine here."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from acula_edge.artifact import Artifact
from acula_edge.errors import ToolError
from acula_edge.frontend import log_mel
from acula_edge.runtime.divert import divert_output
from targets.config import TargetConfig
from targets.stage import TargetInputs, run
from targets.stethoscope import cortex_m
from targets.stethoscope.cores import CORES
from targets.stethoscope.cortex_m import Exported, export_for, require_lowering
from targets.stethoscope.network import Convolution, Dense, Depthwise
from targets.stethoscope.unexecuted import unexecuted
from targets.stethoscope.verify import core_of
from tests.recordings import needs_recordings
from tests.targets.stethoscope.host import Model

CALIBRATION = 12


@pytest.fixture(scope="module")
def lowering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What ExecuTorch's lowering imports, in a folder of its own behind all others."""
    folder = tmp_path_factory.mktemp("tosa")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*command, "--target", str(folder), cortex_m.TOSA], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(folder)])
        require_lowering()
        yield


@pytest.fixture(scope="module")
def exported(lowering: None, usual: Model, mini_quantized: Artifact) -> Exported:  # noqa: ARG001
    from acula_edge.students.store import load_student

    features = np.ascontiguousarray(log_mel(usual.pcm, usual.contract)[:, None])
    with divert_output():
        return export_for(
            CORES["m7"], load_student(mini_quantized), features[:CALIBRATION], features[CALIBRATION:]
        )


@needs_recordings
def test_every_layer_is_an_operator_of_the_backend(usual: Model, exported: Exported) -> None:
    layers = Counter(type(layer) for layer in usual.firmware.network.layers)
    found = exported.operators
    assert found["cortex_m.quantized_linear"] == layers[Dense]
    convolutions = found["cortex_m.quantized_conv2d"] + found["cortex_m.quantized_depthwise_conv2d"]
    assert convolutions == layers[Convolution] + layers[Depthwise]
    assert set(exported.portable) <= {"aten.view_copy", "dim_order_ops._clone_dim_order"}
    assert all(name.replace(".", "::").encode() in exported.program for name in found if "quantized" in name)


@needs_recordings
def test_the_lowered_graph_follows_the_float_student(
    usual: Model, exported: Exported, mini_quantized: Artifact
) -> None:
    """Clips that calibration did not see, after fewer for calibration than a build takes."""
    import torch

    from acula_edge.students.store import load_student

    features = log_mel(usual.pcm, usual.contract)[CALIBRATION:, None]
    with torch.no_grad():
        embedding, logits = load_student(mini_quantized)(torch.from_numpy(np.ascontiguousarray(features)))
    step = usual.firmware.network.logits.grid.scale
    assert np.median(np.abs(exported.logits - logits.numpy())) < 3 * step
    assert np.corrcoef(exported.logits.ravel(), logits.numpy().ravel())[0, 1] > 0.98
    assert np.corrcoef(exported.embedding.ravel(), embedding.numpy().ravel())[0, 1] > 0.98


@pytest.mark.usefixtures("lowering")
def test_the_bundle_says_that_it_was_not_executed(
    mini_quantized: Artifact, mini_dataset: Artifact, tmp_path: Path
) -> None:
    inputs = TargetInputs(mini_quantized, mini_dataset)
    made = run(TargetConfig(name="executorch-m33", golden_clips=2), inputs, tmp_path / "bundle")
    evidence = made.read_json("executorch/export.json")
    assert (evidence["executed"], evidence["core"], evidence["clips"]) == (False, "Cortex-M33", 2)
    assert made.has("executorch/model.pte")
    assert made.has("src/acula_network.c")
    assert core_of(made) is CORES["m33"]
    (file,) = unexecuted(made)
    assert file.file == "executorch/model.pte"
    assert file.note == "not executed here; for ExecuTorch on Cortex-M33"
    readme = made.file("README.md").read_text(encoding="utf-8")
    assert "**It was not executed here**" in readme
    assert "| `cortex_m.quantized_linear` | 2 |" in readme


def test_without_the_lowering_the_line_that_mends_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cortex_m.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ToolError, match="pip install --no-deps --target FOLDER tosa-tools==") as caught:
        require_lowering()
    assert caught.value.exit_code == 4
    assert importlib.util.find_spec("sys") is None  # the patch was in force
