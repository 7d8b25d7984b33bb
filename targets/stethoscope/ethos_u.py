"""Ethos-U: what a bundle for a core with an NPU has beside the library."""

from __future__ import annotations

from pathlib import Path

from acula_edge.artifact import write_json
from acula_edge.progress import say
from targets.facts import Facts
from targets.stethoscope.documents import templates
from targets.stethoscope.integer_model import integer_model
from targets.stethoscope.npu import Npu
from targets.stethoscope.tflm import tflm_files
from targets.stethoscope.vela import compile_for

FOLDER = "npu"
MODEL, COMPILED, ESTIMATE = "model_int8.tflite", "model_vela.tflite", "estimate.json"


def write(npu: Npu, facts: Facts, folder: Path) -> str:
    """Write the folder `npu`; the section that tells of it.

    Raises ToolError without Vela, ArtifactError if Vela refuses the model.
    """
    own = folder / FOLDER
    own.mkdir()
    (own / MODEL).write_bytes(integer_model(folder / "model.tflite"))
    compiled = compile_for(npu, (own / MODEL).read_bytes())
    (own / COMPILED).write_bytes(compiled.model)
    for name, text in tflm_files(own / COMPILED).items():
        (own / name).write_text(text, encoding="utf-8")
    write_json(own / ESTIMATE, compiled.to_json())
    if compiled.unplaced:
        say(f"{npu.title} does not run: {', '.join(compiled.unplaced)}; they stay on the core")
    values = {"npu": npu, "found": compiled.to_json(), "files": (MODEL, COMPILED, ESTIMATE), "facts": facts}
    return templates().get_template("ethos_u.md.j2").render(values)
