"""ArtifactWriter: killed, without room or told to overwrite, it leaves a whole artifact or none."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description, work_dir
from acula_edge.errors import AculaError, ArtifactError, ExistsError


def write(out: Path, content: object = "old", force: bool = False) -> Artifact:
    with ArtifactWriter(out, force) as writer:
        writer.write_json("content.json", content)
        return writer.commit(Description(kind=ArtifactKind.STUDENT, key="k"))


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), ArtifactWriter(tmp_path / "deep" / "out") as writer:
        writer.write_json("a.json", 1 // 0)
    assert list((tmp_path / "deep").iterdir()) == []


def test_leaving_without_commit_leaves_nothing(tmp_path: Path) -> None:
    with ArtifactWriter(tmp_path / "out") as writer:
        writer.write_json("a.json", 1)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from acula_edge import artifact
from acula_edge.artifact import ArtifactKind, ArtifactWriter, Description

out, victim, survived = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
calls = 0

def die_at(function):
    def wrapped(*arguments, **options):
        global calls
        if calls == survived:
            os.kill(os.getpid(), signal.SIGKILL)
        calls += 1
        return function(*arguments, **options)
    return wrapped

owner = os if victim in {"replace", "fsync"} else artifact
setattr(owner, victim, die_at(getattr(owner, victim)))
with ArtifactWriter(out, force=out.exists()) as writer:
    writer.write_json("a.json", "new")
    writer.write_json("b.json", "new")
    writer.commit(Description(kind=ArtifactKind.STUDENT, key="new"))
"""
# Killed while it writes the second file, hashes, writes the manifest, syncs, and before each rename.
MOMENTS = [
    ("write_json", 1),
    ("sha256_file", 0),
    ("write_json", 2),
    ("fsync", 1),
    ("replace", 0),
    ("replace", 1),
]


def kill(out: Path, victim: str, survived: int) -> None:
    command = [sys.executable, "-c", KILLED, str(out), victim, str(survived)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


@pytest.mark.parametrize(("victim", "survived"), MOMENTS[:-1])
def test_sigkill_leaves_no_artifact_and_the_next_run_succeeds(
    tmp_path: Path, victim: str, survived: int
) -> None:
    out = tmp_path / "out"
    kill(out, victim, survived)
    assert not out.exists()
    with pytest.raises(ArtifactError, match="not an artifact"):
        Artifact.open(out)
    assert write(out).verify() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize(("victim", "survived"), MOMENTS)
def test_sigkill_while_replacing_leaves_the_old_one_or_none(
    tmp_path: Path, victim: str, survived: int
) -> None:
    out = tmp_path / "out"
    old = write(out)
    kill(out, victim, survived)
    assert out.exists() == ((victim, survived) != ("replace", 1))
    if out.exists():
        assert Artifact.open(out).digest == old.digest
        assert Artifact.open(out).verify() == []
    new = write(out, "new", force=True)
    assert new.verify() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_work_dir_survives_beside_the_output(tmp_path: Path) -> None:
    out = tmp_path / "out"
    work_dir(out).mkdir()
    write(out)
    assert work_dir(out).is_dir()


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, write])
def test_an_existing_output_needs_force(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "out")
    with pytest.raises(ExistsError, match=r"exists already.*--force"):
        ArtifactWriter(tmp_path / "out")


@pytest.mark.parametrize("make", [Path.mkdir, write])
def test_force_replaces_an_artifact_or_an_empty_folder(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "out")
    assert write(tmp_path / "out", "new", force=True).read_json("content.json") == "new"


def test_force_deletes_nothing_that_is_not_an_artifact(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").touch()
    for out in (tmp_path, tmp_path / "thesis.doc"):
        with pytest.raises(ExistsError, match="no artifact"):
            ArtifactWriter(out, force=True)
    assert (tmp_path / "thesis.doc").is_file()


# A disk of 2 MiB in a mount namespace of its own, which ends with the process.
SMALL_DISK = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
SMALL_DISK += ['mount -t tmpfs -o size=2m tmpfs "$1" && shift && exec "$@"', "sh"]


def can_mount() -> bool:
    """Whether this system lets us make a disk of a stated size: plain containers do not."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*SMALL_DISK, "/mnt", "true"], capture_output=True, check=False).returncode == 0


FILLED = """
import sys
from pathlib import Path
import numpy
from acula_edge.artifact import ArtifactWriter
from acula_edge.errors import AculaError
disk = Path(sys.argv[1])
try:
    with ArtifactWriter(disk / "out") as writer:
        path = writer.path / "weights.npy"
        exec(sys.argv[2])
except AculaError as error:
    print(error, *disk.iterdir(), end="")
"""
FILLS = {
    "python": "path.write_bytes(bytes(4 << 20))",
    "numpy": "numpy.save(path, numpy.zeros(1 << 19))",
    "safetensors": "import safetensors.numpy as s; s.save_file({'w': numpy.zeros(1 << 19)}, path)",
    "torch": "import torch; torch.save(torch.zeros(1 << 20), path)",
}


@pytest.mark.skipif(not can_mount(), reason="no disk can be made here; the error codes are tested below")
@pytest.mark.parametrize("fill", FILLS.values(), ids=FILLS)
def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path, fill: str) -> None:
    command = [*SMALL_DISK, str(tmp_path), sys.executable, "-c", FILLED, str(tmp_path), fill]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    mend = "nothing was kept; make room or choose another --out"
    assert result.stdout == f"{tmp_path}: the disk is full; {mend}"


LIMITED = """
import resource, sys
from pathlib import Path
from acula_edge.artifact import ArtifactWriter
from acula_edge.errors import AculaError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with ArtifactWriter(Path(sys.argv[1])) as writer:
        writer.write_json("a.json", "x" * 5000)
except AculaError as error:
    sys.exit(str(error))
"""


def test_a_file_size_limit_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == (
        f"{tmp_path}: a file is larger than the system allows; nothing was kept; "
        "make room or choose another --out\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EFBIG, "larger than the system allows"),
    ],
)
def test_no_room_at_any_moment_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, sentence: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ArtifactError, match=sentence) as caught:
        write(tmp_path / "out")
    assert isinstance(caught.value.__cause__, OSError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "gone"), AculaError("mine"), ValueError()])
def test_other_errors_pass_unchanged(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, ArtifactWriter(tmp_path / "out"):
        raise error
    assert caught.value is error


def test_a_folder_that_can_not_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match=r"file can not be written to .*choose another --out"):
        ArtifactWriter(tmp_path / "file" / "out").__enter__()
