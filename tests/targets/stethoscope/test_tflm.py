"""The .tflite as a C array, and its operators, for TensorFlow Lite for Microcontrollers."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from acula_edge.artifact import Artifact
from acula_edge.errors import ArtifactError
from targets.stethoscope import tflm
from targets.stethoscope.flatbuffer import read_operator_names

STRICT = ("-Wall", "-Wextra", "-pedantic", "-Werror")
# What the resolver's interface is to the header; each call is told.
STUB = """
#include <cstdio>
enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
namespace tflite {
template <unsigned N> class MicroMutableOpResolver {
  public:
    METHODS
    unsigned room = N;
    const char *broken = "";
  private:
    TfLiteStatus add(const char *name)
    {
        if (room-- == 0 || broken[0] == name[0]) { return kTfLiteError; }
        std::puts(name);
        return kTfLiteOk;
    }
};
}
"""
MAIN = """
#include "acula_operators.h"
#include "acula_tflite.h"
#include <cstdint>
int main(int count, char **)
{
    AculaOperators operators;
    operators.broken = count > 1 ? "M" : "";
    const bool added = acula_add_operators(operators) == kTfLiteOk && operators.room == 0;
    return added && reinterpret_cast<std::uintptr_t>(acula_tflite) % 16 == 0 ? 0 : 1;
}
"""
METHODS = ("Add", "Conv2D", "DepthwiseConv2D", "Dequantize", "FullyConnected", "Mean", "Pad", "Quantize")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with the stub of TFLM's header."""
    folder = tmp_path_factory.mktemp("tflm")
    header = folder / "tensorflow/lite/micro/micro_mutable_op_resolver.h"
    header.parent.mkdir(parents=True)
    methods = [*METHODS, "Reshape", "Softmax", "EthosU"]
    calls = " ".join(f'TfLiteStatus Add{name}() {{ return add("{name}"); }}' for name in methods)
    header.write_text(STUB.replace("METHODS", calls))
    (folder / "main.cc").write_text(MAIN)
    return folder


def _run(*command: object) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_array_is_the_model(bundle: Artifact, folder: Path) -> None:
    """As the linker sees it, not as the text reads."""
    source = bundle.path / "tflm" / "acula_tflite.c"
    for name, command in {"c": ("gcc", "-std=c99"), "cc": ("g++", "-std=c++11", "-x", "c++")}.items():
        _run(*command, *STRICT, "-c", source, "-o", folder / f"{name}.o")
        _run("objcopy", "-O", "binary", "-j", ".rodata", folder / f"{name}.o", folder / f"{name}.bin")
        assert (folder / f"{name}.bin").read_bytes() == bundle.file("model.tflite").read_bytes()


def test_the_resolver_has_exactly_the_operators_of_the_model(bundle: Artifact, folder: Path) -> None:
    """C's array is linked with C++; a resolver that refuses an operator is told of."""
    tflm_folder, program = bundle.path / "tflm", folder / "main"
    _run("gcc", "-std=c99", "-c", tflm_folder / "acula_tflite.c", "-o", folder / "array.o")
    includes = (f"-I{folder}", f"-I{tflm_folder}")
    _run("g++", "-std=c++11", *STRICT, *includes, folder / "main.cc", folder / "array.o", "-o", program)
    found = set(_run(program).split())
    names = {
        re.sub(r"[^a-z0-9]", "", name.lower()) for name in read_operator_names(bundle.file("model.tflite"))
    }
    assert {name.lower() for name in found} == names
    assert subprocess.run([program, "refuse"], capture_output=True).returncode == 1


def test_an_unknown_operator_is_refused_by_name(bundle: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(tflm._METHODS, "MEAN")
    with pytest.raises(ArtifactError, match=r"model\.tflite: MEAN is not one of the operators"):
        tflm.tflm_files(bundle.file("model.tflite"))
