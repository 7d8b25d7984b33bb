"""ExecuTorch: what a bundle with a .pte for a Cortex-M has beside the library."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from acula_edge.artifact import write_json
from acula_edge.runtime.divert import divert_output
from acula_edge.runtime.golden import GOLDEN, Golden
from targets.facts import Facts
from targets.stethoscope.cores import Core
from targets.stethoscope.documents import templates

FOLDER, PROGRAM, EVIDENCE = "executorch", "model.pte", "export.json"


def write(core: Core, facts: Facts, folder: Path) -> str:
    """Write the folder `executorch`; the section that tells of it. Raises ToolError without the lowering."""
    own = folder / FOLDER
    own.mkdir()
    golden = Golden.read(folder / GOLDEN)
    with divert_output():  # the exporter prints as soon as it is imported
        from targets.stethoscope.cortex_m import export_for

        exported = export_for(core, facts.student(), facts.calibration(), golden.features)
    (own / PROGRAM).write_bytes(exported.program)
    other = golden.outputs["tflite"]
    evidence = {
        "executed": False,
        "core": core.title,
        "operators": exported.operators,
        "portable_operators": exported.portable,
        "clips": len(golden.recordings),
        "largest_logit_difference": float(np.abs(exported.logits - other.logits).max()),
        "largest_embedding_difference": float(np.abs(exported.embedding - other.embedding).max()),
    }
    write_json(own / EVIDENCE, evidence)
    values = {"core": core, "found": evidence, "versions": facts.versions}
    return templates().get_template("executorch.md.j2").render(values)
