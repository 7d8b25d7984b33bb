"""The stethoscope bundle: C sources, builds, golden test and documents, generated from the facts."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.artifact import write_json
from acula_edge.runtime.golden import GOLDEN, Golden
from targets.facts import Facts, label_rows
from targets.stethoscope.addition import Addition
from targets.stethoscope.back_end import BackEnd
from targets.stethoscope.cores import (
    APT,
    CFLAGS,
    COMPILER,
    EMULATOR,
    HOST_CFLAGS,
    VENDORED_CFLAGS,
    WARNINGS,
    Core,
)
from targets.stethoscope.cycles import BANDS
from targets.stethoscope.decided import GOLDEN_TEST
from targets.stethoscope.documents import templates
from targets.stethoscope.drawing import draw_memory
from targets.stethoscope.frontend import features
from targets.stethoscope.kernels import Kernels
from targets.stethoscope.library import Excerpt, Firmware, library_files, make_firmware, shipped_files
from targets.stethoscope.lowering import read_network
from targets.stethoscope.reference import Answers, reference_answers
from targets.stethoscope.tflm import tflm_files

MODEL = "model.tflite"
# Each document and its template.
_DOCUMENTS = {
    "README.md": "README.md.j2",
    "Makefile": "Makefile.j2",
    "CMakeLists.txt": "CMakeLists.txt.j2",
    "example/main.c": "main.c.j2",
    "zephyr/module.yml": "module.yml.j2",
    "zephyr/Kconfig": "Kconfig.j2",
    "zephyr/CMakeLists.txt": "zephyr_CMakeLists.txt.j2",
}


@dataclass(frozen=True)
class _Sounds:
    """Golden clips and the excerpt, with what the reference runtime makes of them."""

    pcm: NDArray[np.int16]
    answers: Answers
    excerpt: Excerpt


def write(facts: Facts, folder: Path, core: Core, addition: Addition | None = None) -> None:
    """Write all that the bundle adds to the model files and golden vectors that lie in `folder`.

    Raises ArtifactError for a student with an operator that the C code does not have, and what the addition
    raises.
    """
    network = read_network(folder / MODEL)
    version = facts.versions["acula-edge"]
    kernels = Kernels(facts.back_end, core.helium)
    firmware = make_firmware(network, facts.contract, facts.labels, facts.decisions, version, kernels=kernels)
    sounds = _sounds(firmware, folder)
    for path, text in library_files(firmware, sounds.excerpt).items():
        _write(folder / path, text)
    for name, text in shipped_files("test").items():
        _write(folder / "test" / name, text)
    for name, text in tflm_files(folder / MODEL).items():
        _write(folder / "tflm" / name, text)
    (folder / GOLDEN_TEST).write_bytes(golden_test(sounds.pcm, sounds.answers))
    write_json(folder / "memory.json", firmware.plan.to_json())
    _write(folder / "memory.svg", draw_memory(firmware.plan))
    section = addition.write(facts, folder) if addition else ""
    heading = f"{core.title} and {addition.title}" if addition else core.title
    values = _values(facts, firmware, sounds.excerpt, core) | {"section": section, "heading": heading}
    for path, name in _DOCUMENTS.items():
        _write(folder / path, templates().get_template(name).render(values))


def golden_test(pcm: NDArray[np.int16], answers: Answers) -> bytes:
    """golden.bin: the count of clips (u32), then PCM, embedding and logits of each; little-endian."""
    parts = [struct.pack("<I", len(pcm))]
    for clip, embedding, logits in zip(pcm, answers.embedding, answers.logits, strict=True):
        parts += [clip.astype("<i2").tobytes(), embedding.tobytes(), logits.tobytes()]
    return b"".join(parts)


def _sounds(firmware: Firmware, folder: Path) -> _Sounds:
    contract, network = firmware.contract, firmware.network
    pcm = Golden.read(folder / GOLDEN).pcm
    second = _loudest(pcm[0], contract.sample_rate_hz)
    clips = np.concatenate([pcm, np.resize(second, (1, contract.clip_samples))])
    found = reference_answers(folder / MODEL, network, features(clips, contract, firmware.tables))
    excerpt = Excerpt(second, found.embedding[-1], found.logits[-1])
    return _Sounds(pcm, Answers(found.embedding[:-1], found.logits[:-1]), excerpt)


def _loudest(clip: NDArray[np.int16], size: int) -> NDArray[np.int16]:
    """The part of `size` samples with the most energy; a shorter clip is taken whole."""
    starts = range(0, max(1, len(clip) - size + 1), size)
    best = max(starts, key=lambda start: int(np.square(clip[start : start + size].astype(np.int64)).sum()))
    return clip[best : best + size]


def _values(facts: Facts, firmware: Firmware, excerpt: Excerpt, core: Core) -> dict[str, Any]:
    return {
        "facts": facts,
        "contract": facts.contract,
        "labels": facts.labels,
        "rows": label_rows(facts.labels),
        "decisions": facts.decisions.tasks,
        "core": core,
        "band": BANDS.get(core.name),
        "cmsis": firmware.back_end is BackEnd.CMSIS_NN,
        "plan": firmware.plan,
        "source": firmware.source,
        "hops": firmware.hops,
        "macs": firmware.network.macs,
        "golden_bytes": excerpt.pcm.nbytes,
        "compiler": COMPILER,
        "emulator": EMULATOR,
        "cflags": CFLAGS,
        "warnings": WARNINGS,
        "vendored": VENDORED_CFLAGS,
        "host": HOST_CFLAGS,
        "apt": APT,
    }


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
