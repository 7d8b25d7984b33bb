"""Artifacts are whole or absent, and every change is noticed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acula_edge.artifact import (
    MANIFEST,
    MEASURED,
    SCHEMA_VERSION,
    Artifact,
    ArtifactKind,
    ArtifactWriter,
    DataSummary,
    Description,
    TensorSpec,
    digest_of,
    stage_key,
)
from acula_edge.errors import ArtifactError

DESCRIPTION = Description(
    kind=ArtifactKind.STUDENT,
    key="k",
    tensors=(TensorSpec(name="features", shape=(1, 1, 48, 249), dtype="int8", scale=0.1, zero_point=-3),),
    config={"epochs": 2},
    data=DataSummary(digest="d", splits={"train": 3}),
)


def write(out: Path, weights: bytes = b"weights", latency: str | None = None) -> Artifact:
    with ArtifactWriter(out) as writer:
        (writer.path / "sub").mkdir()
        (writer.path / "sub" / "weights.bin").write_bytes(weights)
        writer.write_json("student.json", {"b": [1, 2], "a": "é"})
        if latency is not None:
            writer.write_json("latency.json", latency)
        return writer.commit(DESCRIPTION, measured=[] if latency is None else ["latency.json"])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write(tmp_path / "student", latency="1 ms")
    return tmp_path / "student"


def edit_manifest(out: Path, change: Callable[[dict[str, object]], object]) -> None:
    manifest = json.loads((out / MANIFEST).read_text())
    change(manifest)
    (out / MANIFEST).write_text(json.dumps(manifest))


def test_what_was_written_is_read_back(out: Path) -> None:
    artifact = Artifact.open(out, ArtifactKind.STUDENT)
    assert artifact.manifest.model_dump(include=set(Description.model_fields)) == DESCRIPTION.model_dump()
    assert artifact.file("sub/weights.bin").read_bytes() == b"weights"
    assert artifact.read_json("student.json") == {"a": "é", "b": [1, 2]}
    assert artifact.has("latency.json")
    assert not artifact.has(MANIFEST)
    assert artifact.verify() == []
    assert sorted(path.name for path in out.parent.iterdir()) == ["student"]


def test_equal_content_gives_an_equal_digest_wherever_it_is_written(tmp_path: Path) -> None:
    one, same, other = write(tmp_path / "a"), write(tmp_path / "b"), write(tmp_path / "c", b"other")
    assert one.digest == same.digest == one.parent.digest
    assert one.digest != other.digest


def test_measured_files_do_not_change_the_digest_and_are_still_hashed(tmp_path: Path) -> None:
    one = write(tmp_path / "a", latency="1 ms")
    other = write(tmp_path / "b", latency="2 ms")
    assert one.digest == other.digest
    (other.path / "latency.json").write_text('"9 ms"\n')
    assert other.verify() == ["latency.json was changed after it was written"]


def test_a_measured_file_that_was_not_written_is_refused(tmp_path: Path) -> None:
    with ArtifactWriter(tmp_path / "a") as writer, pytest.raises(ArtifactError, match=r"latency\.json"):
        writer.commit(DESCRIPTION, measured=["latency.json"])
    assert list(tmp_path.iterdir()) == []


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("name", ["sub/weights.bin", "student.json", "latency.json"])
@pytest.mark.parametrize(("damage", "sentence"), [(remove, "missing"), (truncate, "bytes")])
def test_a_missing_or_truncated_file_is_refused(
    out: Path, name: str, damage: Callable[[Path], None], sentence: str
) -> None:
    damage(out / name)
    with pytest.raises(ArtifactError, match=f"{name}.*{sentence}.*build it again"):
        Artifact.open(out)


@given(offset=st.integers(0, 6), bit=st.integers(0, 7))
def test_any_changed_bit_is_found(tmp_path_factory: pytest.TempPathFactory, offset: int, bit: int) -> None:
    artifact = write(tmp_path_factory.mktemp("bit") / "out")
    path = artifact.file("sub/weights.bin")
    content = bytearray(path.read_bytes())
    content[offset] ^= 1 << bit
    path.write_bytes(content)
    assert Artifact.open(artifact.path).verify() == ["sub/weights.bin was changed after it was written"]


def test_verify_names_each_problem(out: Path) -> None:
    artifact = Artifact.open(out)
    (out / "sub" / "weights.bin").unlink()
    (out / "student.json").write_text("{}")
    (out / "sub" / "more.bin").touch()
    assert artifact.verify() == [
        "student.json was changed after it was written",
        "sub/weights.bin is missing",
        "sub/more.bin is not listed in manifest.json",
    ]


def test_a_file_that_is_not_listed_can_not_be_read(out: Path) -> None:
    (out / "more.bin").touch()
    with pytest.raises(ArtifactError, match="lists no file more"):
        Artifact.open(out).file("more.bin")


def test_a_listed_file_that_is_not_json(out: Path) -> None:
    with pytest.raises(ArtifactError, match="is not JSON"):
        Artifact.open(out).read_json("sub/weights.bin")


CHANGES = {
    "unknown key": (lambda m: m.update(colour="red"), "colour: Extra inputs"),
    "missing key": (lambda m: m.pop("key"), "key: Field required"),
    "unknown kind": (lambda m: m.update(kind="song"), "kind: Input should be"),
    "wrong type": (lambda m: m.update(files=3), "files: Input should be"),
    "path outside": (lambda m: m["files"][0].update(name="../x"), "files.0.name: .*inside the artifact"),
    "absolute path": (lambda m: m["files"][0].update(name="/etc/x"), "files.0.name: .*inside the artifact"),
    "other measured": (lambda m: m.update(measured=["x.json"]), "measured.json: it lists other files"),
    "no version": (lambda m: m.pop("schema_version"), "schema_version: Field required"),
    "other version, other keys": (
        lambda m: m.update(schema_version=SCHEMA_VERSION + 1, colour="red"),
        f"schema version {SCHEMA_VERSION + 1}, this program reads {SCHEMA_VERSION}",
    ),
}


@pytest.mark.parametrize(("change", "sentence"), CHANGES.values(), ids=CHANGES)
def test_a_changed_manifest_is_refused(out: Path, change: Callable[..., object], sentence: str) -> None:
    edit_manifest(out, change)
    with pytest.raises(ArtifactError, match=f"{sentence}.*build it again"):
        Artifact.open(out)


@given(content=st.binary(max_size=64))
def test_any_bytes_as_a_manifest_are_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(ArtifactError, match=r"manifest\.json: .*build it again"):
        Artifact.open(folder)


@pytest.mark.parametrize("content", ["", "{}", "[3]", '[{"name": "latency.json"}]', "[]"])
def test_a_changed_measured_list_is_refused(out: Path, content: str) -> None:
    (out / MEASURED).write_text(content)
    with pytest.raises(ArtifactError, match=r"measured\.json: .*build it again"):
        Artifact.open(out)


def test_an_artifact_of_another_kind_is_refused(out: Path) -> None:
    with pytest.raises(ArtifactError, match="is a student artifact, not a teacher"):
        Artifact.open(out, ArtifactKind.TEACHER)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is not an artifact: it has no manifest\.json"):
        Artifact.open(tmp_path)


def test_a_stage_key_depends_on_everything_and_not_on_the_order_of_parents() -> None:
    def key(
        kind: ArtifactKind = ArtifactKind.STUDENT,
        config: dict[str, object] | None = None,
        parents: tuple[str, ...] = ("p", "q"),
        code: str = "c",
    ) -> str:
        return stage_key(kind, config or {"seed": 1, "epochs": 2}, parents, code)

    assert key() == key(parents=("q", "p")) == key(config={"epochs": 2, "seed": 1})
    changed = [key(ArtifactKind.TEACHER), key(config={"seed": 2}), key(parents=("p",)), key(code="d")]
    assert len({key(), *changed}) == 5


@given(st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4) | st.lists(st.booleans())))
def test_digest_ignores_the_order_of_keys(value: dict[str, object]) -> None:
    assert digest_of(value) == digest_of(dict(reversed(value.items())))
    assert digest_of(value) != digest_of({**value, "another": None})
