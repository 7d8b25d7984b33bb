"""What must be seen on the emulated board: faults of the library, and heads that are not the model's."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from acula_edge.artifact import Artifact
from targets.stethoscope import emulator
from targets.stethoscope.bundle import golden_test
from targets.stethoscope.cores import CORES
from targets.stethoscope.emulator import Findings, build_test, run_test
from tests.targets.stethoscope.heads import HEADER_BYTES, learned_head, with_word
from tests.targets.stethoscope.host import Model
from tests.targets.stethoscope.test_board import board

M4 = CORES["m4"]
BAD_HEAD, FOREIGN_HEAD = 4, 5
FIRST_RECORD = 36  # byte of the payload
# A place in acula_push_pcm, what stands there instead, and what the test says of it.
FAULTS = {
    "an overrun is lost": (
        "    return done;",
        "    return (state->frame == ACULA_HOP_FRAMES) ? count : done;",
        "an overrun is not taken",
    ),
    "an empty push takes a sample": (
        "    return done;",
        "    return (count == 0u) ? 1u : done;",
        "an empty push takes nothing",
    ),
    **{
        f"half of each block of {size}": (
            "part * sizeof pcm[0]",
            f"((count == {size}u) ? (part / 2u) : part) * sizeof pcm[0]",
            "",
        )
        for size in (1, 7, 160, 4096)
    },
}


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that never ends must not hold the suite up."""
    monkeypatch.setattr(emulator, "_TIMEOUT_S", 60)


@pytest.fixture(scope="module")
def stream(odd: Model, odd_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of a streaming student, with a clip for each size of blocks."""
    folder = Path(shutil.copytree(odd_folder, tmp_path_factory.mktemp("stream") / "library"))
    few = replace(odd, pcm=odd.pcm[:5])
    (folder / "test" / "golden.bin").write_bytes(golden_test(few.pcm, few.answers))
    return folder


@board
def test_a_streaming_student_takes_blocks_of_any_size(odd: Model, stream: Path, tmp_path: Path) -> None:
    found = run_test(build_test(stream, M4, tmp_path), M4, stream / "test")
    assert (found.clips, found.mismatches, found.failures) == (5, 0, ())
    assert found.hops == odd.firmware.hops.count > 1


@board
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_stream_is_seen(fault: str, stream: Path, tmp_path: Path) -> None:
    """In blocks of one size only, on the clip that is pushed in such blocks."""
    right, wrong, words = FAULTS[fault]
    folder = Path(shutil.copytree(stream, tmp_path / "library"))
    source = (folder / "src" / "acula.c").read_text()
    assert source.count(right) == 1
    (folder / "src" / "acula.c").write_text(source.replace(right, wrong))
    found = run_test(build_test(folder, M4, tmp_path / "built"), M4, folder / "test")
    assert words in found.failures if words else found.mismatches > 0


@pytest.fixture(scope="module")
def elf(bundle: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_test(bundle.path, M4, tmp_path_factory.mktemp("built"))


@board
@pytest.mark.parametrize(
    ("damage", "status"),
    [
        ("flipped", BAD_HEAD),
        ("cut", BAD_HEAD),
        ("empty", BAD_HEAD),
        ("shape", FOREIGN_HEAD),
        ("grid", FOREIGN_HEAD),
    ],
)
def test_a_wrong_head_is_refused_and_changes_nothing(
    damage: str, status: int, bundle: Artifact, elf: Path, tmp_path: Path
) -> None:
    """The golden clips still give the answers of the built-in head."""
    head = learned_head(bundle, tmp_path / "model.tflite")
    (tmp_path / "head.bin").write_bytes(_damaged(head, damage))
    shutil.copyfile(bundle.path / "test" / "golden.bin", tmp_path / "golden.bin")
    found: Findings = run_test(elf, M4, tmp_path)
    assert (found.head, found.clips, found.mismatches, found.failures) == (status, 4, 0, ())


def _damaged(head: bytes, damage: str) -> bytes:
    if damage == "flipped":
        place = HEADER_BYTES + len(head) // 2
        return head[:place] + bytes([head[place] ^ 4]) + head[place + 1 :]
    if damage in ("cut", "empty"):
        return head[: len(head) // 2] if damage == "cut" else b""
    word = {"shape": 2, "grid": 6}[damage]
    return with_word(head, FIRST_RECORD + 4 * word, 77)
