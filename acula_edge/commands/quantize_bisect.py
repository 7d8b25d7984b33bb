"""`acula-edge quantize bisect`: the first conversion, and the layer, that changed a model too much."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acula_edge.commands.options import Bundle, Json
from acula_edge.commands.output import print_json, print_rows

if TYPE_CHECKING:
    from quantize.bisect import Hop


def bisect(
    bundle: Bundle,
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="A recording; its first clip is used.")],
    as_json: Json = False,
) -> None:
    """Walk from the float student to each model file on a real clip, layer by layer.

    The student, its ONNX copy, the INT8 graph, .pte and .tflite, each with features and with PCM. The exit
    code is 3 if a hop differs by more than its bound; the first such hop and layer are named.
    """
    from acula_edge.artifact import Artifact, ArtifactKind
    from acula_edge.contract import AudioContract
    from acula_edge.data.audio import read_audio, resample, to_int16
    from acula_edge.data.clips import cut_clips
    from acula_edge.errors import GateError
    from acula_edge.runtime.divert import divert_output

    model = Artifact.open(bundle, ArtifactKind.BUNDLE)
    contract = AudioContract.of(model.manifest.contract)
    samples, rate_hz = read_audio(clip)
    pcm = cut_clips(to_int16(resample(samples, rate_hz, contract.sample_rate_hz)), contract.clip_samples)
    changed = model.verify()
    for problem in changed:
        print(f"{model.path}: {problem}", file=sys.stderr)
    with divert_output():
        from quantize.bisect import bisect as walk
        from quantize.bisect import first_fault

        hops = walk(model, pcm[:1])
    fault = first_fault(hops)
    if as_json:
        print_json({"clip": str(clip), "changed": changed, "hops": [hop.to_json() for hop in hops]})
    else:
        print_rows(("hop", "result", "layer", "measure", "value", "bound"), [_row(hop) for hop in hops])
    if fault is not None:
        raise GateError(f"the first fault is in the hop {fault.name}: {_told(fault)}")


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
