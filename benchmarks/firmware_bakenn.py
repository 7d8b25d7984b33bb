"""bakenn's compiler, in its two modes, on the convolutions of a student; benchmarks/firmware.py runs it.

    python benchmarks/firmware_bakenn.py MODEL FOLDER MODE      in a Python with bakenn[tflite]

bakenn takes a .tflite whose ends are INT8, and has no mean that changes the grid, so that it gets the network
up to its last convolution. MODE is a key of MODES. bakenn calls CMSIS-NN on Cortex-M4 alone.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MODES = {"portable": "bakenn, portable C", "cmsis-nn": "bakenn, CMSIS-NN"}
CLIPS = 4
_SHIFT = 1  # the board's clock holds a whole inference then: 335 million instructions, to 20
# Versions of the operators that bakenn's importer knows; the INT8 forms did not change with later ones.
_VERSIONS = {"PAD": 2, "MEAN": 2, "DEPTHWISE_CONV_2D": 3, "CONV_2D": 3, "FULLY_CONNECTED": 4}
_DRIVER = """#include <stdio.h>
#include "bknn_main.h"
#include "board.h"
static uint8_t arena[BKNN_MAIN_ARENA_SIZE] __attribute__((aligned(16)));
static int8_t given[BKNN_MAIN_INPUT_BYTES], made[BKNN_MAIN_OUTPUT_BYTES], expected[BKNN_MAIN_OUTPUT_BYTES];
int main(void)
{
    FILE *file = fopen("clips.bin", "rb");
    long wrong = 0, ticks = 0;
    while (fread(given, 1, sizeof given, file) == sizeof given) {
        board_paint_stack();
        const uint32_t start = board_ticks();
        bknn_main_infer(arena, given, made);
        ticks = (long)board_ticks_since(start);
        const long stack = (long)board_stack_bytes();
        fread(expected, 1, sizeof expected, file);
        for (unsigned i = 0; i < sizeof made; ++i) wrong += made[i] != expected[i];
        printf("%ld %ld %ld\\n", ticks, stack, wrong);
    }
    printf("arena %u\\n", (unsigned)sizeof arena);
    return 0;
}
"""


@dataclass(frozen=True)
class Compiled:
    """A network as bakenn compiles it; `mismatches` of `values` outputs differ from LiteRT's reference."""

    mode: str
    instructions: int
    arena_bytes: int
    io_bytes: int
    stack_bytes: int
    code_bytes: int
    constant_bytes: int
    mismatches: int
    values: int


def measure(model: Path, features: Any, python: str) -> list[dict[str, Any]]:
    """Compile `model` in each mode, and run clips, int8 (n, mels, frames), on the emulated Cortex-M4."""
    with tempfile.TemporaryDirectory() as folder:
        inner = Path(folder) / "inner.tflite"
        without_border(model, inner)
        answers = _reference(inner, features[:CLIPS])
        found = []
        for mode in MODES:
            out = Path(folder) / mode
            subprocess.run([python, __file__, str(inner), str(out), mode], check=True, capture_output=True)
            found.append(asdict(_run(out, mode, features[:CLIPS], answers)))
        return found


def without_border(model: Path, out: Path) -> None:
    """The same network from its INT8 features to its last convolution."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    parsed = schema.ModelT.InitFromPackedBuf(bytearray(model.read_bytes()), 0)
    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}
    graph = parsed.subgraphs[0]
    codes = [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in parsed.operatorCodes]
    for code, name in zip(parsed.operatorCodes, codes, strict=True):
        code.version = _VERSIONS.get(name, code.version)
    kept = []
    for operator in graph.operators:
        name = codes[operator.opcodeIndex]
        if name == "QUANTIZE" or (name == "RESHAPE" and int(operator.inputs[0]) == graph.inputs[0]):
            graph.inputs = [int(operator.outputs[0])]
        elif name != "DEQUANTIZE":
            kept.append(operator)
    last = max(place for place, operator in enumerate(kept) if codes[operator.opcodeIndex] == "CONV_2D")
    graph.operators, graph.outputs = kept[: last + 1], [int(kept[last].outputs[0])]
    parsed.signatureDefs = []
    builder = flatbuffers.Builder(1024)
    builder.Finish(parsed.Pack(builder), b"TFL3")
    out.write_bytes(bytes(builder.Output()))


def _reference(model: Path, features: Any) -> Any:
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=str(model), experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
    )
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    answers = []
    for clip in features:
        interpreter.set_tensor(given["index"], clip.reshape(given["shape"]))
        interpreter.invoke()
        answers.append(interpreter.get_tensor(made["index"]).copy())
    return np.stack(answers)


def _run(folder: Path, mode: str, features: Any, answers: Any) -> Compiled:
    from targets.stethoscope.cores import CFLAGS, CORES, VENDORED_CFLAGS
    from targets.stethoscope.emulator import instructions, run_program
    from targets.stethoscope.library import shipped_files
    from targets.stethoscope.toolchain import compile_sources, link_library, link_program, size_of

    core = CORES["m4"]
    for name, text in shipped_files("test").items():
        if name.startswith("board"):
            (folder / name).write_text(text, encoding="utf-8")
    (folder / "driver.c").write_text(_DRIVER, encoding="utf-8")
    with (folder / "clips.bin").open("wb") as file:
        for clip, answer in zip(features, answers, strict=True):
            file.write(clip.tobytes() + answer.tobytes())
    vendored = sorted((folder / "third_party").rglob("*.c"))
    sources = [*sorted(folder.glob("bknn*.c")), *vendored]
    includes = [f"-I{path}" for path in (folder, *(folder / "third_party").glob("*/Include"))]
    flags = [
        *CFLAGS,
        "-std=c11",
        *VENDORED_CFLAGS,
        "-DBAKENN_CMSIS_NN_BUILTIN_MEMORY",
        *core.flags,
        *includes,
    ]
    objects = compile_sources(sources, flags, folder)
    link_library(objects, core, ("bknn_main_infer",), folder)
    elf = folder / "driver.elf"
    programs = [str(folder / name) for name in ("driver.c", "board.c")]
    link_program([*programs, *objects], flags, core, folder / "board.ld", elf)
    lines = run_program(elf, core, folder, _SHIFT)
    ticks, stack, wrong = map(int, lines[-2].split())
    size = size_of(folder)
    return Compiled(
        mode=MODES[mode],
        instructions=instructions(ticks, core, _SHIFT),
        arena_bytes=int(lines[-1].split()[1]),
        io_bytes=features[0].size + answers[0].size,
        stack_bytes=stack,
        code_bytes=size.code_bytes,
        constant_bytes=size.constant_bytes,
        mismatches=wrong,
        values=int(answers.size),
    )


def _compile(model: str, out: str, mode: str) -> None:
    import bakenn

    options = bakenn.CBackendOptions()
    if mode == "cmsis-nn":
        options = bakenn.CBackendOptions(
            target=bakenn.CORTEX_M4,
            enable_cmsis_nn=True,
            kernel_policy=bakenn.KernelPolicy.STATIC_PRIORITY,
        )
    bakenn.compile_tflite(model, out, backend_options=options)


if __name__ == "__main__":
    _compile(*sys.argv[1:])
