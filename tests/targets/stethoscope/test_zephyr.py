"""The Zephyr module, as far as a machine without Zephyr's tree can check it.

Zephyr itself takes no part: its CMake functions are stubs here, and its Kconfig is read by the parser that it
uses.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import kconfiglib
import pytest
import yaml

from acula_edge.artifact import Artifact
from targets.stethoscope.cores import COMPILER, CORES
from targets.stethoscope.emulator import run_test
from tests.targets.stethoscope.test_board import board

M4 = CORES["m4"]
# The functions of Zephyr's extensions.cmake that a library uses.
STUBS = """
cmake_minimum_required(VERSION 3.20)
project(zephyr_stub C)
add_library(zephyr_interface INTERFACE)
macro(zephyr_library_named name)
  set(ZEPHYR_CURRENT_LIBRARY ${name})
  add_library(${name} STATIC)
  target_link_libraries(${name} PUBLIC zephyr_interface)
endmacro()
function(zephyr_library_sources)
  target_sources(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endfunction()
function(zephyr_library_include_directories)
  target_include_directories(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endfunction()
function(zephyr_library_compile_options)
  target_compile_options(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endfunction()
function(zephyr_include_directories)
  target_include_directories(zephyr_interface INTERFACE ${ARGN})
endfunction()
add_subdirectory(${MODULE} acula)
"""
KCONFIG = """
mainmenu "stub"
config CPU_HAS_FPU
	def_bool HAS
config FPU
	bool "floating point"
	depends on CPU_HAS_FPU
osource "MODULE"
"""


@pytest.fixture(scope="module")
def module(bundle: Artifact) -> dict[str, object]:
    """module.yml."""
    found: dict[str, object] = yaml.safe_load((bundle.path / "zephyr/module.yml").read_text(encoding="utf-8"))
    return found


def test_the_module_file_names_what_is_there(bundle: Artifact, module: dict[str, object]) -> None:
    """Keys and types of Zephyr's schema; paths as Zephyr looks them up, from the module's root."""
    assert set(module) == {"name", "build"}
    build = module["build"]
    assert module["name"] == "acula"
    assert isinstance(build, dict)
    assert set(build) == {"cmake", "kconfig"}
    assert (bundle.path / build["cmake"] / "CMakeLists.txt").is_file()
    assert (bundle.path / build["kconfig"]).is_file()


@pytest.mark.parametrize("has_fpu", ["y", "n"])
def test_kconfig_has_one_switch_that_is_off(has_fpu: str, bundle: Artifact, tmp_path: Path) -> None:
    text = KCONFIG.replace("HAS\n", f"{has_fpu}\n").replace("MODULE", str(bundle.path / "zephyr/Kconfig"))
    (tmp_path / "Kconfig").write_text(text)
    tree = kconfiglib.Kconfig(str(tmp_path / "Kconfig"), warn_to_stderr=False)
    assert tree.warnings == []
    switch = tree.syms["ACULA"]
    assert (switch.type, switch.str_value, tree.syms["FPU"].str_value) == (kconfiglib.BOOL, "n", "n")
    assert switch.nodes[0].prompt
    assert "not a medical device" in switch.nodes[0].help
    switch.set_value("y")
    assert (switch.str_value, tree.syms["FPU"].str_value) == ("y", has_fpu)


def _configure(bundle: Path, out: Path, switch: str) -> None:
    out.mkdir()
    (out / "CMakeLists.txt").write_text(STUBS)
    options = {
        "MODULE": str(bundle / "zephyr"),
        "CONFIG_ACULA": switch,
        "CMAKE_SYSTEM_NAME": "Generic",
        "CMAKE_TRY_COMPILE_TARGET_TYPE": "STATIC_LIBRARY",
        "CMAKE_C_COMPILER": str(shutil.which(COMPILER)),
        "CMAKE_C_FLAGS": " ".join((*M4.flags, "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror")),
        "CMAKE_EXPORT_COMPILE_COMMANDS": "ON",
    }
    defined = [f"-D{name}={value}" for name, value in options.items()]
    for command in (["cmake", *defined, "-S", ".", "-B", "build"], ["cmake", "--build", "build"]):
        done = subprocess.run(command, cwd=out, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@board
def test_the_module_builds_the_library_that_passes_on_the_board(bundle: Artifact, tmp_path: Path) -> None:
    """Its objects, linked with the golden test."""
    _configure(bundle.path, tmp_path / "on", "y")
    commands = json.loads((tmp_path / "on/build/compile_commands.json").read_text())
    sources = {Path(entry["file"]).name for entry in commands}
    assert sources == {path.name for path in (bundle.path / "src").rglob("*.c")}
    assert all("-ffp-contract=off" in entry["command"] for entry in commands)
    copy = Path(shutil.copytree(bundle.path, tmp_path / "copy"))
    shutil.copyfile(tmp_path / "on/build/acula/libacula.a", copy / "libacula.a")
    (copy / "build").mkdir()
    # -o: the library is the one that lies there, and not to be made again.
    command = ["make", "-o", "libacula.a", "build/acula_test.elf"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = run_test(copy / "build/acula_test.elf", M4, copy / "test")
    assert (found.clips, found.mismatches, found.failures) == (4, 0, ())


@board
def test_without_the_switch_nothing_is_built(bundle: Artifact, tmp_path: Path) -> None:
    _configure(bundle.path, tmp_path / "off", "n")
    assert not list((tmp_path / "off").rglob("*.a"))
