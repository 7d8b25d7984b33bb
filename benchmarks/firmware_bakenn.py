"""bakenn's compiler, in its two modes, on the convolutions of a student; benchmarks/firmware.py runs it.

    python benchmarks/firmware_bakenn.py MODEL FOLDER MODE      in a Python with bakenn[tflite]

bakenn takes a .tflite whose ends are INT8. It has no mean that changes the grid, and pads no batch and no
channel: it gets the network from its first map of one channel up to its last convolution, and a streaming
student's whole clip. MODE is a key of MODES. bakenn names no Cortex-M beside the M0+ and the M4: what it
makes for the M4 is compiled for every core, and CMSIS-NN takes the instructions of each. Helium's kernels
want more scratch than bakenn plans for an M4, and write behind its arena: the driver leaves room there, and
what they took counts as arena.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from targets.stethoscope.cores import Core

MODES = {"portable": "bakenn, portable C", "cmsis-nn": "bakenn, CMSIS-NN"}
CLIPS = 4
_SHIFT = 1  # the board's clock holds a whole inference then: 335 million instructions, to 20
# Versions of the operators that bakenn's importer knows; the INT8 forms did not change with later ones.
_VERSIONS = {"PAD": 2, "MEAN": 2, "DEPTHWISE_CONV_2D": 3, "CONV_2D": 3, "FULLY_CONNECTED": 4}
_DRIVER = """#include <stdio.h>
#include <string.h>
#include "bknn_main.h"
#include "board.h"
#define SPARE 32768
static uint8_t arena[BKNN_MAIN_ARENA_SIZE + SPARE] __attribute__((aligned(16)));
static int8_t given[BKNN_MAIN_INPUT_BYTES], made[BKNN_MAIN_OUTPUT_BYTES], expected[BKNN_MAIN_OUTPUT_BYTES];
int main(void)
{
    FILE *file = fopen("clips.bin", "rb");
    long wrong = 0, ticks = 0;
    unsigned taken = sizeof arena;
    memset(arena + BKNN_MAIN_ARENA_SIZE, 0xAC, SPARE);
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
    while (taken > BKNN_MAIN_ARENA_SIZE && arena[taken - 1] == 0xAC) --taken;
    printf("arena %u %u\\n", taken, BKNN_MAIN_ARENA_SIZE);
    return 0;
}
"""


@dataclass(frozen=True)
class Compiled:
    """A network as bakenn compiles it; `mismatches` of `values` outputs differ from LiteRT's reference.

    `arena_bytes` is what was used, `planned_bytes` what bakenn says.
    """

    core: str
    mode: str
    instructions: int
    arena_bytes: int
    planned_bytes: int
    io_bytes: int
    stack_bytes: int
    code_bytes: int
    constant_bytes: int
    mismatches: int
    values: int


def measure(model: Path, features: Any, python: str) -> list[dict[str, Any]]:
    """Compile `model` in each mode, and run clips, int8 (n, mels, frames), on each core's emulated board."""
    from targets.stethoscope.cores import CORES
    from targets.stethoscope.lowering import read_network

    zero_point = read_network(model).features.grid.zero_point
    with tempfile.TemporaryDirectory() as folder:
        inner = Path(folder) / "inner.tflite"
        without_border(model, inner)
        given, answers = _reference(inner, features[:CLIPS], zero_point)
        found = []
        for mode in MODES:
            out = Path(folder) / mode
            subprocess.run([python, __file__, str(inner), str(out), mode], check=True, capture_output=True)
            _write(out, given, answers)
            found += [asdict(_run(out, core, mode, given, answers)) for core in CORES.values()]
        return found


def without_border(model: Path, out: Path) -> None:
    """The same network from its first map of one channel, INT8, to its last convolution."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    parsed = schema.ModelT.InitFromPackedBuf(bytearray(model.read_bytes()), 0)
    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}
    graph = parsed.subgraphs[0]
    codes = [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in parsed.operatorCodes]
    for code, name in zip(parsed.operatorCodes, codes, strict=True):
        code.version = _VERSIONS.get(name, code.version)
    ordered = [codes[operator.opcodeIndex] for operator in graph.operators]
    first = ordered.index("RESHAPE")
    last = max(place for place, name in enumerate(ordered) if name == "CONV_2D")
    graph.inputs = [int(graph.operators[first].outputs[0])]
    graph.outputs = [int(graph.operators[last].outputs[0])]
    graph.operators = graph.operators[first + 1 : last + 1]
    parsed.signatureDefs = []
    builder = flatbuffers.Builder(1024)
    builder.Finish(parsed.Pack(builder), b"TFL3")
    out.write_bytes(bytes(builder.Output()))


def _reference(model: Path, features: Any, zero_point: int) -> tuple[Any, Any]:
    """Clips as the model takes them, behind the silence that a causal one hears first, and its answers."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=str(model), experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
    )
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    silence = given["shape"][2] - features.shape[2]
    clips = np.pad(features, ((0, 0), (0, 0), (silence, 0)), constant_values=zero_point)
    answers = []
    for clip in clips:
        interpreter.set_tensor(given["index"], clip.reshape(given["shape"]))
        interpreter.invoke()
        answers.append(interpreter.get_tensor(made["index"]).copy())
    return clips, np.stack(answers)


def _write(folder: Path, given: Any, answers: Any) -> None:
    """The driver, its board, and clips with their answers, beside what bakenn wrote."""
    from targets.stethoscope.library import shipped_files

    for name, text in shipped_files("test").items():
        if name.startswith("board"):
            (folder / name).write_text(text, encoding="utf-8")
    (folder / "driver.c").write_text(_DRIVER, encoding="utf-8")
    with (folder / "clips.bin").open("wb") as file:
        for clip, answer in zip(given, answers, strict=True):
            file.write(clip.tobytes() + answer.tobytes())


def _run(folder: Path, core: Core, mode: str, given: Any, answers: Any) -> Compiled:
    from targets.stethoscope.cores import CFLAGS, VENDORED_CFLAGS
    from targets.stethoscope.emulator import instructions, run_program
    from targets.stethoscope.toolchain import compile_sources, link_library, link_program, size_of

    built = folder / core.name
    built.mkdir()
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
    objects = compile_sources(sources, flags, built)
    link_library(objects, core, ("bknn_main_infer",), built)
    elf = built / "driver.elf"
    programs = [str(folder / name) for name in ("driver.c", "board.c")]
    link_program([*programs, *objects], flags, core, folder / "board.ld", elf)
    lines = run_program(elf, core, folder, _SHIFT)
    ticks, stack, wrong = map(int, lines[-2].split())
    arena, planned = map(int, lines[-1].split()[1:])
    size = size_of(built)
    return Compiled(
        core=core.title,
        mode=MODES[mode],
        instructions=instructions(ticks, core, _SHIFT),
        arena_bytes=arena,
        planned_bytes=planned,
        io_bytes=given[0].size + answers[0].size,
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
