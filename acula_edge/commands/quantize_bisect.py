"""`acula-edge quantize bisect`: the first conversion, and the layer, that changed a model too much."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acula_edge.commands.options import Json, Model
from acula_edge.commands.output import print_json, print_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from acula_edge.artifact import Artifact
    from acula_edge.runtime.hop import Hop


def bisect(
    model: Model,
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="A recording; its first clip is used.")],
    as_json: Json = False,
) -> None:
    """Walk from the float student to each model file on a real clip, layer by layer.

    The student, its ONNX copy, what quantisation-aware training made of it, the INT8 graph, its ONNX form,
    .pte and .tflite, each with features and with PCM, and the C library, which needs gcc. The exit code is 3
    if a hop differs by more than its bound; the first such hop and layer are named.
    """
    from acula_edge.artifact import Artifact
    from acula_edge.contract import AudioContract
    from acula_edge.data.audio import read_audio, resample, to_int16
    from acula_edge.data.clips import cut_clips
    from acula_edge.errors import GateError
    from acula_edge.runtime.divert import divert_output

    artifact = Artifact.open(model)
    contract = AudioContract.of(artifact.manifest.contract)
    samples, rate_hz = read_audio(clip)
    pcm = cut_clips(to_int16(resample(samples, rate_hz, contract.sample_rate_hz)), contract.clip_samples)
    changed = artifact.verify()
    for problem in changed:
        print(f"{artifact.path}: {problem}", file=sys.stderr)
    with divert_output():
        from quantize.bisect import bisect as walk
        from quantize.bisect import first_fault, layer_names

        hops = walk(artifact, pcm[:1])
        library, not_run = _library(artifact, pcm[:1], layer_names(hops))
    hops += library
    fault = first_fault(hops)
    if as_json:
        found = [hop.to_json() for hop in hops]
        print_json({"clip": str(clip), "changed": changed, "hops": found, "not_run": not_run})
    else:
        print_rows(("hop", "result", "layer", "measure", "value", "bound"), [_row(hop) for hop in hops])
        for name, reason in not_run.items():
            print(f"{name}: not run: {reason}")
    if fault is not None:
        raise GateError(f"the first fault is in the hop {fault.name}: {_told(fault)}")


def _library(
    model: Artifact, pcm: NDArray[np.int16], names: tuple[str, ...]
) -> tuple[list[Hop], dict[str, str]]:
    """The hop to the C library; or its name and why it was not run: no compiler, or no C for this network."""
    from acula_edge.errors import ArtifactError, GateError, ToolError
    from acula_edge.runtime.hop import Hop
    from targets.stethoscope.verify import core_of
    from targets.stethoscope.walk import NAME, walk

    try:
        return [walk(model, pcm, names)], {}
    except GateError as error:
        return [Hop(NAME, (), str(error))], {}
    except ToolError as error:
        return [], {NAME: str(error)}
    except ArtifactError as error:
        # A phone needs no C, which not every network has.
        return ([Hop(NAME, (), str(error))], {}) if core_of(model) else ([], {NAME: str(error)})


def _row(hop: Hop) -> tuple[str, ...]:
    result, shown = "ok" if hop.passed else "FAILED", hop.shown
    if shown is None:
        return (hop.name, result, hop.reason)
    return (hop.name, result, shown.layer, shown.measure, f"{shown.value:.3g}", f"{shown.bound:g}")


def _told(hop: Hop) -> str:
    culprit = hop.culprit
    if culprit is None:
        return hop.reason
    return (
        f"layer {culprit.layer} differs by {culprit.value:.3g} ({culprit.measure}), bound {culprit.bound:g}; "
        "build the bundle again"
    )
