"""What does a student cost on a Cortex-M, and does the C code give the reference's bits there?

    python benchmarks/firmware.py FOLDER TEACHER [TOOLS_PYTHON]

TEACHER is a folder that `acula-edge teacher train --data FOLDER` wrote. Each of STUDENTS is distilled from it
and quantised by the product's stages (firmware_students.py; the work folder keeps them), and built for every
core in each of WAYS. Each build runs CLIPS clips of training and validation recordings, samples to result, on
the board that QEMU emulates; every output is compared with LiteRT's reference kernels. Sizes are those of
what a program links. Instructions are counted by QEMU, which knows no caches, wait states and pipelines.

TOOLS_PYTHON is a Python with tflite-micro and bakenn[tflite], which do not install beside ours: the least
arena in which TFLite Micro's interpreter runs the same .tflite, and bakenn's own compiler in its two modes.
Writes benchmarks/results/firmware.json.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from firmware_bakenn import measure as bakenn
from firmware_students import quantised
from numpy.typing import NDArray

from acula_edge.artifact import Artifact, ArtifactKind, write_json
from acula_edge.build import BuildConfig, make
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.environment import environment
from acula_edge.evidence.decisions import Decisions
from acula_edge.frontend import log_mel
from acula_edge.progress import say
from targets.stage import make_labels
from targets.stethoscope.back_end import BackEnd
from targets.stethoscope.bundle import golden_test
from targets.stethoscope.cores import COMPILER, CORES, EMULATOR, Core
from targets.stethoscope.emulator import build_test, run_test
from targets.stethoscope.frontend import features
from targets.stethoscope.kernels import Kernels
from targets.stethoscope.library import Excerpt, Firmware, library_files, make_firmware, shipped_files
from targets.stethoscope.lowering import read_network
from targets.stethoscope.network import Network
from targets.stethoscope.reference import Answers, reference_answers
from targets.stethoscope.toolchain import size_of

RESULT = Path(__file__).parent / "results" / "firmware.json"
TFLM = Path(__file__).with_name("firmware_tflm.py")
WORK = Path(".acula-edge")
STUDENTS = ("tiny", "tiny-streaming", "small")
CLIPS, SEED = 208, 0


@dataclass(frozen=True)
class Way:
    """A back end, with the flags that it is compiled with."""

    title: str
    back_end: BackEnd
    flags: tuple[str, ...] = ()


WAYS = (
    Way("plain C", BackEnd.OWN, ("-DACULA_PORTABLE",)),
    Way("tuned", BackEnd.OWN),
    Way("CMSIS-NN", BackEnd.CMSIS_NN),
)

Pcm = NDArray[np.int16]


def main(folder: Path, teacher: Path, tools_python: str | None) -> None:
    """Build, run, compare, count, and write the result."""
    made = make(BuildConfig(), folder, WORK, ArtifactKind.DATASET)
    dataset = Dataset.open(made)
    clips = _clips(dataset, (Split.TRAIN, Split.VAL), CLIPS)
    found: dict[str, Any] = {}
    for name in STUDENTS:
        artifact = quantised(name, made, Artifact.open(teacher, ArtifactKind.TEACHER), WORK / "firmware")
        found[name] = _student(artifact, dataset, clips, tools_python)
        result = {
            "clips": len(clips),
            "clip_seconds": dataset.contract.clip_seconds,
            "students": found,
            "tools": {tool: _version(tool) for tool in (COMPILER, EMULATOR)},
            "environment": environment(),
        }
        write_json(RESULT, result)


def _clips(dataset: Dataset, splits: tuple[Split, ...], count: int) -> Pcm:
    """Clips spread over the recordings of some splits."""
    recordings = [recording for split in splits for recording in dataset.of(split)]
    chosen = np.random.default_rng(SEED).permutation(len(recordings))[:count]
    pcm = [dataset.clips(recordings[index]) for index in chosen]
    rounds = [clips[place] for place in range(max(map(len, pcm))) for clips in pcm if place < len(clips)]
    return np.stack(rounds[:count])


def _student(artifact: Artifact, dataset: Dataset, clips: Pcm, tools_python: str | None) -> dict[str, Any]:
    model = artifact.file("model.tflite")
    network = read_network(model)
    firmware = _firmware(network, artifact, dataset, Kernels())
    made = features(clips, dataset.contract, firmware.tables)
    answers = reference_answers(model, network, made)
    exact = log_mel(clips, dataset.contract) / network.features.grid.scale
    off = np.abs(made - np.clip(np.rint(exact + network.features.grid.zero_point), -128, 127))
    with tempfile.TemporaryDirectory() as folder:
        builds = []
        for core in CORES.values():
            for way in WAYS:
                built = _firmware(network, artifact, dataset, Kernels(way.back_end, core.helium))
                library = Path(folder) / f"{core.name}-{way.title}"
                _write(library, built, clips, answers)
                builds.append(
                    {"core": core.title, "back_end": way.title, **_build(library, core, way, built)}
                )
    return {
        "macs": firmware.hops.network.macs,
        "hops": firmware.hops.count,
        "hop_frames": firmware.hops.frames,
        "layers": [type(layer).__name__ for layer in firmware.hops.network.layers],
        "constant_bytes": firmware.source.constant_bytes,
        "features_off_by_one": float((off > 0).mean()),
        "features_off_at_most": float(off.max()),
        "different_answers": len(np.unique(answers.logits, axis=0)),
        "tflm_arena_bytes": _tflm(model, tools_python),
        "bakenn": bakenn(model, made, tools_python) if tools_python else [],
        "builds": builds,
    }


def _firmware(network: Network, artifact: Artifact, dataset: Dataset, kernels: Kernels) -> Firmware:
    rules = Decisions.model_validate(artifact.read_json("thresholds.json"))
    version = environment()["acula-edge"]
    labels = make_labels(dataset, artifact)
    return make_firmware(network, dataset.contract, labels, rules, version, kernels=kernels)


def _write(library: Path, firmware: Firmware, clips: Pcm, answers: Answers) -> None:
    excerpt = Excerpt(clips[0], answers.embedding[0], answers.logits[0])
    texts = library_files(firmware, excerpt)
    texts |= {f"test/{name}": text for name, text in shipped_files("test").items()}
    for path, text in texts.items():
        (library / path).parent.mkdir(parents=True, exist_ok=True)
        (library / path).write_text(text, encoding="utf-8")
    (library / "test" / "golden.bin").write_bytes(golden_test(clips, answers))


def _build(library: Path, core: Core, way: Way, firmware: Firmware) -> dict[str, Any]:
    say(f"{core.title}, {way.title}: running")
    with tempfile.TemporaryDirectory() as built:
        elf = build_test(library, core, Path(built), way.flags)
        found = asdict(run_test(elf, core, library / "test"))
        plan = firmware.plan
        scratch = [p.value.size_bytes for p in plan.places if p.value.name.startswith("scratch")]
        planned = {"arena_bytes": plan.arena_bytes, "scratch_bytes": max(scratch, default=0)}
        return {**found, **asdict(size_of(Path(built))), **planned}


def _tflm(model: Path, python: str | None) -> int | None:
    """The least arena, in bytes; None where TFLite Micro was not run."""
    if python is None:
        return None
    done = subprocess.run([python, str(TFLM), str(model)], capture_output=True, text=True, check=True)
    return int(done.stdout)


def _version(tool: str) -> str:
    done = subprocess.run([tool, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0]


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
