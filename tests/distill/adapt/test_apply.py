"""Apply: an unchanged head leaves every bit, a learned one verifies, and nothing else is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from acula_edge.artifact import Artifact
from acula_edge.errors import ArtifactError, UsageError
from acula_edge.runtime.golden import GOLDEN, Golden, verify_bundle
from acula_edge.runtime.runner import Runtime, open_runner
from acula_edge.students.float_files import FLOAT_FILES
from acula_edge.students.store import load_student
from distill.adapt.apply import apply
from distill.adapt.head_file import Head, write_head
from distill.adapt.names import APPLIED, HEAD, MODEL, MODEL_PCM
from distill.adapt.requantise import requantise
from distill.adapt.signature import make_key, signer
from distill.adapt.tail import Tail
from distill.adapt.tflite_file import TfliteFile


def _head_of(student: Artifact, bundle: Artifact) -> Head:
    """The float layers of `student` at the sites of `bundle`."""
    layers = Tail(load_student(student)).layers()
    sites = TfliteFile(bundle.file(MODEL), [layer.kind for layer in layers]).sites
    quantised = (requantise(layer, site) for layer, site in zip(layers, sites, strict=True))
    return Head(bundle.digest, tuple(quantised))


@pytest.fixture
def head(adaptation: Artifact) -> Path:
    return adaptation.file(HEAD)


def test_an_unchanged_head_leaves_every_bit(mini_bundle: Artifact, tmp_path: Path) -> None:
    (tmp_path / HEAD).write_bytes(write_head(_head_of(mini_bundle, mini_bundle), None))
    adapted = apply(mini_bundle, tmp_path / HEAD, None, tmp_path / "adapted")
    golden = Golden.read(mini_bundle.file(GOLDEN))
    for name, batch in ((MODEL, golden.features), (MODEL_PCM, golden.pcm)):
        assert adapted.file(name).read_bytes() == mini_bundle.file(name).read_bytes()
        one, other = (open_runner(bundle.file(name)).run(batch) for bundle in (adapted, mini_bundle))
        np.testing.assert_array_equal(one.embedding, other.embedding)
        np.testing.assert_array_equal(one.logits, other.logits)


def test_the_head_of_another_student_makes_its_model(
    mini_bundle: Artifact, shipped: Artifact, tmp_path: Path
) -> None:
    """Both share the trunk and the grids: with the whole one's head, the spoiled bundle is whole again."""
    (tmp_path / HEAD).write_bytes(write_head(_head_of(mini_bundle, shipped), None))
    adapted = apply(shipped, tmp_path / HEAD, None, tmp_path / "adapted")
    for name in (MODEL, MODEL_PCM):
        assert shipped.file(name).read_bytes() != mini_bundle.file(name).read_bytes()
        assert adapted.file(name).read_bytes() == mini_bundle.file(name).read_bytes()


def test_the_adapted_bundle_is_whole_and_says_what_it_lacks(
    shipped: Artifact, head: Path, tmp_path: Path
) -> None:
    adapted = apply(shipped, head, None, tmp_path / "adapted")
    checks = verify_bundle(adapted, tuple(Runtime))
    assert [(check.runtime, check.max_abs_error) for check in checks] == [(Runtime.TFLITE, 0.0)] * 2
    applied = adapted.read_json(APPLIED)
    assert (applied["bundle"], applied["signed"]) == (shipped.digest, False)
    assert {"model.pte", "model.onnx", "ops.json", "parity.json", *FLOAT_FILES} <= set(applied["left_out"])
    readme = adapted.file("README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in readme for name in applied["left_out"] if name != "README.md")
    assert adapted.manifest.parents == (shipped.parent,)
    assert {spec.name.split(":")[0] for spec in adapted.manifest.tensors} == {MODEL, MODEL_PCM}
    before, after = (Golden.read(bundle.file(GOLDEN)) for bundle in (shipped, adapted))
    np.testing.assert_array_equal(before.pcm, after.pcm)
    assert set(after.outputs) == {"tflite", "tflite_pcm"}
    assert not np.array_equal(before.outputs["tflite"].logits, after.outputs["tflite"].logits)
    with pytest.raises(ArtifactError, match="holds no model file for pte"):
        verify_bundle(adapted, (Runtime.PTE,))
    with pytest.raises(ArtifactError, match="belongs to the bundle with digest"):
        apply(adapted, head, None, tmp_path / "twice")


def _flipped(content: bytes, place: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1
    return bytes(changed)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("magic", "does not begin as a head does"),
        ("version", "format version is 0"),
        ("checksum", "checksum is wrong"),
        ("payload", "checksum is wrong"),
        ("cut", "cut or longer"),
        ("longer", "cut or longer"),
        ("empty", "does not begin as a head does"),
    ],
)
def test_a_damaged_head_is_refused_and_nothing_written(
    shipped: Artifact, head: Path, tmp_path: Path, name: str, sentence: str
) -> None:
    content = head.read_bytes()
    damaged = {
        "magic": _flipped(content, 0),
        "version": _flipped(content, 4),
        "checksum": _flipped(content, 12),
        "payload": _flipped(content, len(content) // 2),
        "cut": content[:-3],
        "longer": content + b"\0\0\0\0",
        "empty": b"",
    }[name]
    (tmp_path / HEAD).write_bytes(damaged)
    with pytest.raises(ArtifactError, match=sentence):
        apply(shipped, tmp_path / HEAD, None, tmp_path / "adapted")
    assert [path.name for path in tmp_path.iterdir()] == [HEAD]


def test_a_head_of_another_bundle_is_refused(mini_bundle: Artifact, head: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="belongs to the bundle with digest"):
        apply(mini_bundle, head, None, tmp_path / "adapted")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ArtifactError, match="can not be read"):
        apply(mini_bundle, tmp_path / "none.bin", None, tmp_path / "adapted")


def test_only_the_owner_of_the_key_is_trusted(mini_bundle: Artifact, tmp_path: Path) -> None:
    public = make_key(tmp_path / "key.pem")
    stranger = make_key(tmp_path / "stranger.pem")
    sign, own = signer(tmp_path / "key.pem")
    assert own == public
    head, out = _head_of(mini_bundle, mini_bundle), tmp_path / "adapted"
    signed, unsigned = write_head(head, sign), write_head(head, None)
    for content, key, sentence in (
        (signed, stranger, "was not signed with the key"),
        (_flipped(signed, len(signed) - 1), public, "was not signed with the key"),
        (_flipped(signed, 16 + 4), public, "checksum is wrong"),
        (unsigned, public, "is not signed"),
        (signed, None, "the head is signed"),
        (signed[:-64] + bytes(64), public, "was not signed with the key"),
    ):
        (tmp_path / HEAD).write_bytes(content)
        with pytest.raises(ArtifactError, match=sentence):
            apply(mini_bundle, tmp_path / HEAD, key, out)
        assert not out.exists()
    (tmp_path / HEAD).write_bytes(signed)
    assert apply(mini_bundle, tmp_path / HEAD, public, out).read_json(APPLIED)["signed"]


@pytest.mark.parametrize("public", ["", "zz", "ab" * 31, "no key"])
def test_what_is_no_public_key_is_told(shipped: Artifact, head: Path, tmp_path: Path, public: str) -> None:
    with pytest.raises(UsageError, match="64 hex digits"):
        apply(shipped, head, public, tmp_path / "adapted")
