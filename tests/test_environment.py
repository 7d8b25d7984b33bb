"""Code versions change with the sources they stand for, and only with those."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from acula_edge import environment as module
from acula_edge.artifact import ArtifactKind
from acula_edge.environment import code_version, environment


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the packages, which the versions are computed from."""
    root, target = Path(module.__file__).parents[1], tmp_path / "root"
    for package in ("acula_edge", "distill", "quantize", "targets"):
        shutil.copytree(root / package, target / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(module, "_ROOT", target)
    code_version.cache_clear()
    yield target
    code_version.cache_clear()


def versions() -> dict[ArtifactKind, str]:
    code_version.cache_clear()
    return {kind: code_version(kind) for kind in ArtifactKind}


def test_a_version_is_the_same_in_any_folder(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_copy = versions()
    assert len(set(in_copy.values())) == len(ArtifactKind)
    copy.rename(copy.with_name("moved"))
    monkeypatch.setattr(module, "_ROOT", copy.with_name("moved"))
    assert versions() == in_copy


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("quantize/__init__.py", {ArtifactKind.QUANTIZED}),
        (
            "distill/__init__.py",
            {
                ArtifactKind.STUDENT,
                ArtifactKind.SEARCH,
                ArtifactKind.ADAPT_GRAPHS,
                ArtifactKind.ADAPTATION,
            },
        ),
        ("targets/android/__init__.py", {ArtifactKind.BUNDLE}),
        ("targets/stethoscope/c/acula.c", {ArtifactKind.BUNDLE}),
        ("targets/stethoscope/test/board.ld", {ArtifactKind.BUNDLE}),
        ("acula_edge/teacher/__init__.py", {ArtifactKind.TEACHER, ArtifactKind.EVALUATION}),
        ("acula_edge/evaluation/__init__.py", {ArtifactKind.EVALUATION}),
        (
            "acula_edge/evidence/__init__.py",
            {ArtifactKind.QUANTIZED, ArtifactKind.REPORT, ArtifactKind.EVALUATION, ArtifactKind.SEARCH},
        ),
        ("acula_edge/contract.py", set(ArtifactKind)),
        ("acula_edge/data/__init__.py", set(ArtifactKind)),
        ("acula_edge/progress.py", set()),
    ],
)
def test_a_change_of_source_changes_the_stages_that_use_it(
    copy: Path, source: str, changed: set[ArtifactKind]
) -> None:
    before = versions()
    (copy / source).write_text((copy / source).read_text() + "# another line\n")
    after = versions()
    assert {kind for kind in ArtifactKind if before[kind] != after[kind]} == changed


def test_environment_gives_installed_versions_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKAGES", ("numpy", "no-such-package"))
    found = environment()
    assert found["numpy"] == metadata.version("numpy")
    assert "no-such-package" not in found
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert int(found["cores"]) >= 1
    assert all(isinstance(value, str) for value in found.values())


def test_environment_imports_no_heavy_package() -> None:
    program = (
        "import sys; from acula_edge.environment import environment; environment();"
        "sys.exit(bool({'torch', 'executorch', 'transformers'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
