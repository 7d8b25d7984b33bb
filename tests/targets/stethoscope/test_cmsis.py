"""Convolutions by CMSIS-NN: the same bits on every core, buffers as it asks for, its licence."""

from __future__ import annotations

import importlib.util
import subprocess
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from pydantic import ValidationError

from acula_edge.artifact import Artifact
from acula_edge.errors import ToolError, UsageError
from targets.config import TargetConfig
from targets.stage import TargetInputs, run
from targets.stethoscope.back_end import BackEnd
from targets.stethoscope.cores import CFLAGS, CORES, Core
from targets.stethoscope.emulator import build_test, run_program, run_test
from targets.stethoscope.hops import hops_of
from targets.stethoscope.kernels import Kernels
from targets.stethoscope.lowering import read_network
from targets.stethoscope.memory import MemoryPlan, plan_memory
from targets.stethoscope.network import Convolution, Depthwise
from targets.stethoscope.toolchain import link_program
from targets.stethoscope.vendor import VERSION, cmsis_files
from targets.stethoscope.verify import verify_firmware
from targets.stethoscope.walk import walk
from tests.targets.stethoscope.heads import learned_head
from tests.targets.stethoscope.host import Model
from tests.targets.stethoscope.test_board import board

# A program that prints what CMSIS-NN asks for, for shapes on its standard input.
_ASK = """#include <stdio.h>
#include "arm_nnfunctions.h"
#include "board.h"
int main(void)
{
    int kind, h, w, in, out, kh, kw, sh, sw, ph, pw;
    FILE *file = fopen("shapes.txt", "r");
    while (fscanf(file, "%d %d %d %d %d %d %d %d %d %d %d", &kind, &h, &w, &in, &out, &kh, &kw, &sh, &sw, &ph,
                  &pw) == 11) {
        const cmsis_nn_dims input = {1, h, w, in};
        const cmsis_nn_dims kernel = {1, kh, kw, in};
        const cmsis_nn_dims output = {1, h, w, out};
        cmsis_nn_conv_params plain = {.stride = {sw, sh}, .padding = {pw, ph}, .dilation = {1, 1}};
        cmsis_nn_dw_conv_params deep = {.stride = {sw, sh}, .padding = {pw, ph}, .dilation = {1, 1}};
        printf("%ld\\n", (long)(kind == 0
            ? arm_convolve_wrapper_s8_get_buffer_size(&plain, &input, &kernel, &output)
            : arm_depthwise_conv_wrapper_s8_get_buffer_size(&deep, &input, &kernel, &output)));
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def bundles(
    mini_quantized: Artifact, mini_dataset: Artifact, tmp_path_factory: pytest.TempPathFactory
) -> dict[bool, Artifact]:
    """A bundle for cores without Helium, and one for the core with it."""
    inputs = TargetInputs(mini_quantized, mini_dataset)
    made = {}
    for helium, name in ((False, "m4"), (True, "m55")):
        config = TargetConfig(name=f"stethoscope-{name}", back_end=BackEnd.CMSIS_NN, golden_clips=2)
        made[helium] = run(config, inputs, tmp_path_factory.mktemp("cmsis") / name)
    return made


@board
@pytest.mark.parametrize("name", sorted(CORES))
def test_golden_clips_are_bit_exact_on_every_core(name: str, bundles: dict[bool, Artifact]) -> None:
    core = CORES[name]
    check = verify_firmware(bundles[core.helium], core)
    assert check.passed, check.findings
    assert (check.findings.clips, check.findings.mismatches) == (2, 0)


@board
@pytest.mark.parametrize("name", ["m4", "m55"])
def test_odd_shapes_are_bit_exact_too(name: str, odd: Model, tmp_path: Path) -> None:
    """Kernels of 5, channels that no vector divides, residuals, and hops with a past."""
    few = replace(odd, pcm=odd.pcm[:3], kernels=Kernels(BackEnd.CMSIS_NN, CORES[name].helium))
    folder = few.write(tmp_path / "library")
    found = run_test(build_test(folder, CORES[name], tmp_path / "built"), CORES[name], folder / "test")
    assert (found.mismatches, found.failures) == (0, ())


@board
def test_a_learned_head_fits(usual: Model, bundles: dict[bool, Artifact], tmp_path: Path) -> None:
    """Its biases are put to use without the zero point's part, as CMSIS-NN wants them."""
    few = replace(usual, pcm=usual.pcm[:2], kernels=Kernels(BackEnd.CMSIS_NN))
    learned = tmp_path / "model.tflite"
    head = learned_head(bundles[False], learned)
    folder = few.write(tmp_path / "library", few.answers_of(learned))
    (folder / "test" / "head.bin").write_bytes(head)
    found = run_test(build_test(folder, CORES["m4"], tmp_path / "built"), CORES["m4"], folder / "test")
    assert (found.clips, found.mismatches, found.failures) == (2, 0, ())


@board
@pytest.mark.parametrize("name", ["m4", "m55"])
def test_buffers_are_as_large_as_cmsis_nn_asks_for(
    name: str, usual: Model, odd: Model, bundles: dict[bool, Artifact], tmp_path: Path
) -> None:
    kernels = Kernels(BackEnd.CMSIS_NN, CORES[name].helium)
    layers = [
        layer
        for model in (usual, odd)
        for layer in hops_of(read_network(model.path)).network.layers
        if isinstance(layer, Convolution | Depthwise)
    ]
    asked = _ask(layers, bundles[CORES[name].helium].path, CORES[name], tmp_path)
    assert [kernels.scratch_bytes(layer) for layer in layers] == asked
    assert max(asked) > 0


@pytest.mark.parametrize("helium", [False, True])
def test_buffers_lie_apart_from_all_that_lives(helium: bool, usual: Model, odd: Model) -> None:
    for model in (usual, odd):
        kernels = Kernels(BackEnd.CMSIS_NN, helium)
        hops = hops_of(read_network(model.path))
        plan = plan_memory(hops, kernels)
        assert not any(plan.backwards)
        assert _overlapping(plan) == []
        assert plan.arena_bytes <= plan.least_bytes * 1.1
        sizes = [kernels.scratch_bytes(layer) for layer in hops.network.layers]
        assert sum(place.value.name.startswith("scratch") for place in plan.places) == sum(
            size > 0 for size in sizes
        )


def test_the_licence_travels_with_the_sources(bundles: dict[bool, Artifact]) -> None:
    bundle = bundles[False]
    assert "Apache License" in bundle.file("cmsis_nn/LICENSE.txt").read_text()
    assert "4.0.0" in bundle.file("cmsis_nn/PROVENANCE.md").read_text()
    assert "copyright Arm Limited, Apache License 2.0" in bundle.file("README.md").read_text()
    names = {entry.name for entry in bundle.manifest.files}
    assert "src/acula_convolution.c" not in names
    assert {"src/acula_cmsis.c", "cmsis_nn/arm_convolve_s8.c"} <= names


@pytest.mark.parametrize("helium", [False, True])
def test_the_walk_finds_no_layer_that_differs(
    helium: bool, usual: Model, bundles: dict[bool, Artifact]
) -> None:
    """Layer by layer on this machine, where CMSIS-NN is plain C."""
    hop = walk(bundles[helium], usual.pcm[:1])
    assert hop.layers
    assert hop.culprit is None, hop


@board
def test_the_makefile_builds_it_here_and_for_the_board(bundles: dict[bool, Artifact], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(bundles[True].path), str(copy)], check=True)
    for rule in ("host-test", "test"):
        done = subprocess.run(["make", rule], cwd=copy, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_a_missing_or_other_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: "1.1.0")
    with pytest.raises(ToolError, match=rf"bakenn is 1\.1\.0, not {VERSION}"):
        cmsis_files()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        ToolError, match=r"bakenn is not installed; run: pip install 'acula-edge\[cmsis-nn\]'"
    ):
        cmsis_files()


def test_a_back_end_that_a_target_does_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match="target android has no back end cmsis-nn; its back ends are: own"):
        TargetConfig(name="android", back_end=BackEnd.CMSIS_NN)
    with pytest.raises(ValidationError):
        TargetConfig.model_validate({"name": "stethoscope-m4", "back_end": "tflm"})


def _ask(layers: list[Convolution | Depthwise], bundle: Path, core: Core, folder: Path) -> list[int]:
    rows = []
    for layer in layers:
        window = layer.window
        height, width, channels = layer.source.shape
        kind = int(isinstance(layer, Depthwise))
        sides = (*window.kernel, *window.stride, *window.before)
        rows.append(" ".join(map(str, (kind, height, width, channels, layer.result.shape[2], *sides))))
    (folder / "shapes.txt").write_text("\n".join(rows))
    (folder / "ask.c").write_text(_ASK)
    sources = [folder / "ask.c", bundle / "test" / "board.c", *sorted((bundle / "cmsis_nn").glob("*.c"))]
    flags = [*CFLAGS, *core.flags, "-w", f"-I{bundle / 'cmsis_nn'}", f"-I{bundle / 'test'}"]
    elf = folder / "ask.elf"
    link_program([*map(str, sources)], flags, core, bundle / "test" / "board.ld", elf)
    return [int(line) for line in run_program(elf, core, folder)]


def _overlapping(plan: MemoryPlan) -> list[tuple[str, str]]:
    """Pairs that share a byte while both are needed; a layer needs its input until its output is whole."""
    found = []
    for one in plan.places:
        for other in plan.places:
            if one is other or one.born > other.last_read or other.born > one.last_read:
                continue
            windowed = one.value.name.startswith("scratch") or other.value.name.startswith("scratch")
            if windowed and one.offset < other.end and other.offset < one.end:
                found.append((one.value.name, other.value.name))
    return found
