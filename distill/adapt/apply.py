"""Apply: a bundle with a head in it, which a phone runs with LiteRT.

Only the .tflite files take new weights in place. The .pte and .onnx files hold the shipped ones, and so do
the float student and the evidence of the conversion: the copy leaves them out, and names them. A head
belongs to a shipped bundle; an adapted one takes no further head, so that drift can not add up.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description
from acula_edge.environment import environment
from acula_edge.errors import ArtifactError
from acula_edge.runtime.golden import GOLDEN, GOLDEN_GRAPHS, Golden
from acula_edge.runtime.runner import Form, open_runner
from distill.adapt.head_file import Head, open_envelope, read_head
from distill.adapt.names import APPLIED, MODEL, MODEL_PCM
from distill.adapt.requantise import moved
from distill.adapt.signature import require_signature
from distill.adapt.tflite_file import TfliteFile

README = "README.md"
_KEPT = ("labels.json", "AculaContract.kt")  # the second is a phone's
_FIRMWARE = "include/acula.h"


def apply(
    bundle: Artifact, head_file: Path, public_key: str | None, out: Path, force: bool = False
) -> Artifact:
    """Write the bundle with the head's layers in both .tflite files, and golden vectors made anew.

    Raises ArtifactError, and writes nothing, for a head that is damaged, of another bundle, or not signed
    with `public_key` (None: of a head that is not signed, only the checksum is looked at).
    """
    head = trusted_head(bundle, head_file, public_key)
    with ArtifactWriter(out, force=force) as writer:
        for name in (MODEL, MODEL_PCM):
            (writer.path / name).write_bytes(patched(bundle.file(name), head))
        for name in filter(bundle.has, _KEPT):
            shutil.copyfile(bundle.file(name), writer.path / name)
        _write_golden(bundle, writer.path)
        kept = {path.name for path in writer.path.iterdir()}
        dropped = sorted(entry.name for entry in bundle.manifest.files if entry.name not in kept)
        signed = public_key is not None
        writer.write_json(APPLIED, {"bundle": bundle.digest, "signed": signed, "left_out": dropped})
        (writer.path / README).write_text(_readme(bundle, dropped), encoding="utf-8")
        return writer.commit(_describe(bundle, kept))


def trusted_head(bundle: Artifact, head_file: Path, public_key: str | None) -> Head:
    """The head in a file. Raises ArtifactError if it is damaged, not signed as asked for, or another's."""
    try:
        envelope = open_envelope(head_file.read_bytes())
        require_signature(envelope.signed, envelope.signature, public_key)
        head = read_head(envelope.payload)
    except OSError as error:
        raise ArtifactError(f"{head_file} can not be read: {error.strerror}") from None
    except ArtifactError as error:
        raise ArtifactError(f"{head_file}: {error}") from None
    if head.bundle != bundle.digest:
        raise ArtifactError(
            f"{head_file} belongs to the bundle with digest {head.bundle[:12]}, and {bundle.path} has "
            f"{bundle.digest[:12]}; give the bundle that was shipped to the device"
        )
    return head


def patched(model: Path, head: Head) -> bytes:
    """The .tflite with the head's layers; biases are made anew where the file's grids are its own."""
    file = TfliteFile(model, [layer.site.kind for layer in head.layers])
    return file.patched([moved(layer, site) for layer, site in zip(head.layers, file.sites, strict=True)])


def _write_golden(bundle: Artifact, folder: Path) -> None:
    golden = Golden.read(bundle.file(GOLDEN))
    batches: dict[Form, NDArray[Any]] = {Form.FEATURES: golden.features, Form.PCM: golden.pcm}
    outputs = {
        graph.prefix: open_runner(folder / graph.file).run(batches[graph.form])
        for graph in GOLDEN_GRAPHS
        if (folder / graph.file).is_file()
    }
    np.savez(folder / GOLDEN, allow_pickle=False, **replace(golden, outputs=outputs).arrays())


def _describe(bundle: Artifact, files: set[str]) -> Description:
    own = {name: getattr(bundle.manifest, name) for name in Description.model_fields}
    tensors = tuple(spec for spec in bundle.manifest.tensors if spec.name.split(":")[0] in files)
    changed = {"kind": ArtifactKind.BUNDLE, "parents": (bundle.parent,), "tensors": tensors}
    return Description(**{**own, **changed, "environment": environment()})


def _readme(bundle: Artifact, dropped: list[str]) -> str:
    notice = bundle.read_json("labels.json")["notice"]
    names = ", ".join(f"`{name}`" for name in dropped)
    firmware = _FOR_FIRMWARE if bundle.has(_FIRMWARE) else ""
    return f"""# Adapted Acula bundle

**{notice}**

The bundle with digest `{bundle.digest}`; its last layers were taught on one device's recordings, without
labels. New are `{MODEL}`, `{MODEL_PCM}` and `{GOLDEN}`. Left out, because they hold the shipped weights or
speak of them: {names}.

Inputs, outputs and the meaning of the logits are those of the shipped bundle, whose README tells them. Its
figures of accuracy are not this one's: nobody has measured this one with labels.
{firmware}"""


_FOR_FIRMWARE = """
This copy is for LiteRT. The firmware of the shipped bundle stays as it is: `acula_load_head` takes the very
`head.bin` that was applied here.
"""
