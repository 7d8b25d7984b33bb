"""Golden vectors: a bundle verifies, and each way of spoiling it is found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description
from acula_edge.errors import ArtifactError, GateError
from acula_edge.runtime.golden import GOLDEN, GOLDEN_GRAPHS, Check, Golden, verify_bundle
from acula_edge.runtime.runner import Form, Runtime

Arrays = dict[str, NDArray[np.generic]]


def _edited(bundle: Artifact, out: Path, edit: Callable[[Arrays], None]) -> Artifact:
    """A bundle with other golden vectors, whole and correctly hashed."""
    with np.load(bundle.file(GOLDEN)) as stored:
        arrays: Arrays = dict(stored)
    edit(arrays)
    with ArtifactWriter(out) as writer:
        for entry in bundle.manifest.files:
            shutil.copyfile(bundle.file(entry.name), writer.path / entry.name)
        np.savez(writer.path / GOLDEN, allow_pickle=False, **arrays)
        fields = {name: getattr(bundle.manifest, name) for name in Description.model_fields}
        return writer.commit(Description(**{**fields, "kind": ArtifactKind.BUNDLE}))


def test_a_bundle_verifies_bit_for_bit_where_it_was_made(mini_bundle: Artifact) -> None:
    checks = verify_bundle(mini_bundle, tuple(Runtime))
    assert [(check.runtime, check.form) for check in checks] == [
        (graph.runtime, graph.form) for graph in GOLDEN_GRAPHS
    ]
    assert all(check.passed for check in checks)
    int8 = [check for check in checks if check.unit == "INT8 steps"]
    assert len(int8) == 4
    assert {check.note for check in int8} == {"bit-exact"}


def test_only_the_runtimes_that_are_asked_for_run(mini_bundle: Artifact) -> None:
    checks = verify_bundle(mini_bundle, (Runtime.TFLITE,))
    assert [check.form for check in checks] == [Form.FEATURES, Form.PCM]


@pytest.mark.parametrize(("steps", "passes"), [(1, True), (2, False)])
def test_one_int8_step_is_allowed_and_two_are_not(
    mini_bundle: Artifact, tmp_path: Path, steps: int, passes: bool
) -> None:
    scale = {spec.name: spec.scale for spec in mini_bundle.manifest.tensors}["model.tflite:logits"]
    assert scale is not None

    def shift(arrays: Arrays) -> None:
        arrays["tflite_logits"][3, 0] += np.float32(steps * scale)

    features, _ = verify_bundle(_edited(mini_bundle, tmp_path / "b", shift), (Runtime.TFLITE,))
    assert features.max_abs_error == steps
    assert features.passed is passes
    assert features.note == ""


def test_a_nan_does_not_pass(mini_bundle: Artifact, tmp_path: Path) -> None:
    def spoil(arrays: Arrays) -> None:
        arrays["float_embedding"][0, 0] = np.float32(np.nan)

    (check,) = verify_bundle(_edited(mini_bundle, tmp_path / "b", spoil), (Runtime.ONNX,))
    assert not check.passed


def test_a_changed_file_is_found_before_a_runtime_sees_it(mini_bundle: Artifact, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(mini_bundle.path, copy)
    content = bytearray((copy / "model.pte").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (copy / "model.pte").write_bytes(content)
    with pytest.raises(GateError, match=r"model\.pte was changed") as caught:
        verify_bundle(Artifact.open(copy), tuple(Runtime))
    assert caught.value.exit_code == 3


def test_a_missing_array_is_told_in_a_sentence(mini_bundle: Artifact, tmp_path: Path) -> None:
    def forget(arrays: Arrays) -> None:
        del arrays["pte_logits"]

    bundle = _edited(mini_bundle, tmp_path / "b", forget)
    with pytest.raises(ArtifactError, match=r"golden\.npz can not be read.*pte_logits"):
        verify_bundle(bundle, (Runtime.PTE,))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"text"])
def test_a_damaged_golden_file_is_told_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / GOLDEN
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="can not be read"):
        Golden.read(path)


def test_features_are_the_front_end_of_the_clips(mini_bundle: Artifact) -> None:
    golden = Golden.read(mini_bundle.file(GOLDEN))
    assert golden.pcm.dtype == np.int16
    assert golden.features.dtype == np.float32
    assert len(golden.recordings) == len(golden.pcm) == len(golden.features)
    assert golden.features.shape[1:] == (1, 48, 249)


def test_a_check_is_one_json_row() -> None:
    check = Check(Runtime.PTE, Form.PCM, 4, 0.0, 2.0, "INT8 steps", "bit-exact")
    assert check.to_json() == {
        "runtime": "pte",
        "form": "pcm",
        "clips": 4,
        "max_abs_error": 0.0,
        "bound": 2.0,
        "unit": "INT8 steps",
        "note": "bit-exact",
        "passed": True,
    }
