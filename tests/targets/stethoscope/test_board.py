"""The bundle on emulated boards: golden clips bit by bit, sizes, instructions, and what must fail."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from acula_edge.artifact import Artifact
from acula_edge.bench.systems import graphs_in
from acula_edge.errors import GateError, ToolError
from acula_edge.runtime.golden import verify_bundle
from acula_edge.runtime.runner import Runtime
from targets.stethoscope.bundle import golden_test
from targets.stethoscope.cores import COMPILER, CORES
from targets.stethoscope.emulator import build_test, run_test
from targets.stethoscope.toolchain import require_tools
from targets.stethoscope.verify import core_of, verify_firmware
from tests.cli.conftest import Run, run  # noqa: F401
from tests.targets.stethoscope.heads import learned_head
from tests.targets.stethoscope.host import Model, compile_host, run_host


def _missing() -> str:
    try:
        require_tools()
    except ToolError as error:
        return str(error)
    return ""


board = pytest.mark.skipif(bool(_missing()), reason=_missing() or "the tools are here")
M4 = CORES["m4"]
# Instructions for each multiply-accumulate of the whole network.
MOST_PER_MAC = {"m4": 2.9, "m7": 2.9, "m33": 2.9, "m55": 0.75}


@pytest.fixture(scope="module")
def elf(bundle: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test program for a Cortex-M4."""
    return build_test(bundle.path, M4, tmp_path_factory.mktemp("built"))


@board
@pytest.mark.parametrize("name", sorted(CORES))
def test_golden_clips_are_bit_exact_on_every_core(name: str, bundle: Artifact) -> None:
    check = verify_firmware(bundle, CORES[name])
    found = check.findings
    assert check.passed, found
    assert (found.clips, found.mismatches, found.selftest) == (4, 0, 0)
    assert found.network_instructions < MOST_PER_MAC[name] * sum(check.macs)
    assert found.front_end_instructions < found.network_instructions
    assert check.size.code_bytes <= 16 * 1024
    assert 0 < found.stack_bytes <= 640
    arena = bundle.read_json("memory.json")["arena_bytes"]
    assert arena < found.state_bytes < arena + 5000
    assert json.loads(json.dumps(check.to_json()))["layers"][0]["instructions"] > 0


@board
@pytest.mark.parametrize("name", ["m4", "m55"])
@pytest.mark.parametrize("shape", ["odd", "whole"])
def test_odd_shapes_are_bit_exact_too(
    name: str, shape: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Another front end, kernels of 5, channels that no vector divides, layers that run backwards."""
    few = replace(request.getfixturevalue(shape), pcm=request.getfixturevalue(shape).pcm[:3])
    folder = few.write(tmp_path / "library")
    found = run_test(build_test(folder, CORES[name], tmp_path / "built"), CORES[name], folder / "test")
    assert (found.clips, found.mismatches, found.failures) == (3, 0, ())


@board
def test_counts_do_not_depend_on_the_run(bundle: Artifact, elf: Path) -> None:
    one, other = (run_test(elf, M4, bundle.path / "test") for _ in range(2))
    assert one == other


@board
def test_a_flipped_byte_in_flash_fails_the_self_test(bundle: Artifact, elf: Path, tmp_path: Path) -> None:
    source = (bundle.path / "src" / "acula_network.c").read_text()
    numbers = source.partition("int8_t weights_6[")[2].partition("{")[2].split(",")[:32]
    content = bytearray(elf.read_bytes())
    place = content.index(bytes(int(number) & 0xFF for number in numbers))
    content[place] ^= 0x10
    (tmp_path / "flipped.elf").write_bytes(content)
    found = run_test(tmp_path / "flipped.elf", M4, bundle.path / "test")
    assert found.selftest == 2
    assert "the self-test passes" in found.failures


@board
def test_a_wrong_golden_value_is_a_mismatch(bundle: Artifact, elf: Path, tmp_path: Path) -> None:
    content = bytearray((bundle.path / "test" / "golden.bin").read_bytes())
    content[-1] ^= 1
    (tmp_path / "golden.bin").write_bytes(content)
    found = run_test(elf, M4, tmp_path)
    assert found.mismatches == 1
    (tmp_path / "golden.bin").write_bytes(content[:-1])
    assert "golden.bin is whole" in run_test(elf, M4, tmp_path).failures


@board
def test_a_learned_head_runs_on_the_board(usual: Model, bundle: Artifact, elf: Path, tmp_path: Path) -> None:
    (tmp_path / "head.bin").write_bytes(learned_head(bundle, tmp_path / "model.tflite"))
    few = replace(usual, pcm=usual.pcm[:3])
    answers = few.answers_of(tmp_path / "model.tflite")
    (tmp_path / "golden.bin").write_bytes(golden_test(few.pcm, answers))
    found = run_test(elf, M4, tmp_path)
    assert (found.clips, found.mismatches, found.failures, found.head) == (3, 0, (), 0)


@board
def test_verify_tells_what_the_board_found(run: Run, bundle: Artifact) -> None:  # noqa: F811
    done = run("verify", bundle.path, "--json")
    assert done.code == 0, done.err
    firmware = json.loads(done.out)["firmware"]
    assert (firmware["core"], firmware["mismatches"]) == ("Cortex-M4", 0)
    assert [found["kernels"] for found in firmware["decided"]] == ["reference kernels", "default kernels"]
    assert all(found["passed"] for found in firmware["decided"])
    shown = run("verify", bundle.path).out
    assert "emulated" in shown
    assert "differ from model_pcm.tflite by LiteRT's reference kernels" in shown


def test_missing_tools_are_exit_4_with_the_line_that_installs_them(
    run: Run,  # noqa: F811
    bundle: Artifact,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    done = run("verify", bundle.path)
    assert done.code == 4
    assert "apt install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm" in done.err
    assert run("verify", bundle.path, "--runtime", "tflite").code == 0


@board
def test_sources_that_do_not_compile_are_a_failed_gate(bundle: Artifact, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle.path, tmp_path / "copy"))
    (copy / "src" / "acula.c").write_text("int x = ;\n")
    with pytest.raises(GateError, match=r"refused the sources: .*acula\.c"):
        build_test(copy, M4, tmp_path / "built")


def test_the_bundle_is_whole_and_its_runtimes_agree(bundle: Artifact, tmp_path: Path) -> None:
    names = {entry.name for entry in bundle.manifest.files}
    assert {"include/acula.h", "src/acula_network.c", "Makefile", "CMakeLists.txt"} <= names
    assert {"example/main.c", "zephyr/module.yml", "memory.json", "memory.svg"} <= names
    assert bundle.verify() == []
    assert all(check.passed for check in verify_bundle(bundle, (Runtime.TFLITE, Runtime.ONNX)))
    assert core_of(bundle) is M4
    assert [graph.file for graph in graphs_in(bundle)] == ["model.onnx", "model_pcm.tflite"]
    program = compile_host(bundle.path, "gcc", tmp_path / "test")
    code, values, failures = run_host(program, bundle.path / "test")
    assert code == 0, failures
    assert values["clips"] == 4


def test_documents_say_what_was_not_checked(bundle: Artifact) -> None:
    readme = bundle.file("README.md").read_text(encoding="utf-8")
    assert "**no board took part**" in readme
    assert "not a medical device" in readme
    assert str(bundle.read_json("memory.json")["arena_bytes"]) in readme
    svg = bundle.file("memory.svg").read_text(encoding="utf-8")
    assert svg.count("<g>") == len(bundle.read_json("memory.json")["values"])


@pytest.mark.skipif(shutil.which("cppcheck") is None, reason="apt install cppcheck")
def test_cppcheck_finds_nothing(bundle: Artifact) -> None:
    """In what was written by hand: the other sources are arrays."""
    arrays = {"acula_network.c", "acula_tables.c", "acula_golden.c"}
    sources = [path for path in (bundle.path / "src").glob("*.c") if path.name not in arrays]
    checks = ["--enable=warning,portability,performance", "--std=c99", "--quiet", "--error-exitcode=1"]
    includes = [f"-I{bundle.path / name}" for name in ("include", "src")]
    done = subprocess.run(["cppcheck", *checks, *includes, *sources], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@board
def test_the_makefile_and_the_cmake_file_build(bundle: Artifact, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle.path, tmp_path / "copy"))
    for rule in ("host-test", "test"):
        done = subprocess.run(["make", rule], cwd=copy, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    for command in (["cmake", "-S", ".", "-B", "cmake"], ["cmake", "--build", "cmake"]):
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    flags = [*M4.flags, "-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-Iinclude"]
    command = [COMPILER, *flags, "-c", "example/main.c", "-o", "main.o"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
