"""What does a student cost on a Cortex-M, and does the C code give the reference's bits there?

    python benchmarks/firmware.py FOLDER [TFLM_PYTHON]

Each of STUDENTS gets the statistics of real sound in its normalisations, and no training: bits, sizes and
instructions do not depend on what it knows. It is quantised on training recordings of FOLDER and built for
every core, in plain C and with the core's own instructions. Each build runs CLIPS clips of training and
validation recordings, from samples to result, on the board that QEMU emulates; every output is compared with
LiteRT's reference kernels. Sizes are those of the compiled objects. Instructions are counted by QEMU, which
knows no caches, wait states and pipelines.

TFLM_PYTHON is a Python with the package tflite-micro, which does not install beside ours: the least arena in
which TFLite Micro's interpreter runs the same .tflite. Writes benchmarks/results/firmware.json.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acula_edge.artifact import ArtifactKind, write_json
from acula_edge.build import BuildConfig, make
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.environment import environment
from acula_edge.evidence.decisions import Decisions
from acula_edge.frontend import log_mel
from acula_edge.progress import say
from acula_edge.runtime.divert import divert_output
from acula_edge.students.families import FAMILIES
from acula_edge.students.student import Student
from quantize import litert
from quantize.graphs import NamedFeatures
from targets.facts import Labels
from targets.stethoscope.bundle import golden_test
from targets.stethoscope.cores import COMPILER, CORES, EMULATOR, Core
from targets.stethoscope.emulator import build_test, run_test, size_of
from targets.stethoscope.frontend import features
from targets.stethoscope.library import Excerpt, Firmware, library_files, make_firmware, shipped_files
from targets.stethoscope.lowering import read_network
from targets.stethoscope.reference import Answers, reference_answers

RESULT = Path(__file__).parent / "results" / "firmware.json"
TFLM = Path(__file__).with_name("firmware_tflm.py")
WORK = Path(".acula-edge") / "firmware"
STUDENTS = ("tiny", "tiny-streaming", "small")
BACK_ENDS: dict[str, tuple[str, ...]] = {"plain C": ("-DACULA_PORTABLE",), "tuned": ()}
CLIPS, CALIBRATION, SEED = 208, 128, 0

Pcm = NDArray[np.int16]


def main(folder: Path, tflm_python: str | None) -> None:
    """Build, run, compare, count, and write the result."""
    dataset = Dataset.open(make(BuildConfig(), folder, WORK, ArtifactKind.DATASET))
    calibration = _clips(dataset, (Split.TRAIN,), CALIBRATION)
    clips = _clips(dataset, (Split.TRAIN, Split.VAL), CLIPS)
    found: dict[str, Any] = {}
    for name in STUDENTS:
        found[name] = _student(name, dataset, calibration, clips, tflm_python)
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


def _student(
    name: str, dataset: Dataset, calibration: Pcm, clips: Pcm, tflm_python: str | None
) -> dict[str, Any]:
    say(f"{name}: converting")
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.tflite"
        model.write_bytes(_convert(name, dataset, calibration))
        network = read_network(model)
        labels = Labels(
            tasks=dataset.tasks,
            embedding_dim=network.embedding.size_bytes,
            n_logits=network.logits.size_bytes,
            simulated=dataset.simulated,
        )
        rules = Decisions.without_rules(dataset.tasks)
        firmware = make_firmware(network, dataset.contract, labels, rules, environment()["acula-edge"])
        made = features(clips, dataset.contract, firmware.tables)
        answers = reference_answers(model, network, made)
        exact = log_mel(clips, dataset.contract) / network.features.grid.scale
        off = np.abs(made - np.clip(np.rint(exact + network.features.grid.zero_point), -128, 127))
        library = Path(folder) / "library"
        _write(library, firmware, clips, answers)
        return {
            "macs": firmware.hops.network.macs,
            "hops": firmware.hops.count,
            "hop_frames": firmware.hops.frames,
            "arena_bytes": firmware.plan.arena_bytes,
            "least_arena_bytes": firmware.plan.least_bytes,
            "constant_bytes": firmware.source.constant_bytes,
            "features_off_by_one": float((off > 0).mean()),
            "features_off_at_most": float(off.max()),
            "different_answers": len(np.unique(answers.logits, axis=0)),
            "tflm_arena_bytes": _tflm(model, tflm_python),
            "builds": [
                {"core": core.title, "back_end": title, **_build(library, core, flags)}
                for core in CORES.values()
                for title, flags in BACK_ENDS.items()
            ],
        }


def _convert(name: str, dataset: Dataset, calibration: Pcm) -> bytes:
    contract = dataset.contract
    values = np.ascontiguousarray(log_mel(calibration, contract)[:, None])
    torch.manual_seed(SEED)
    n_logits = sum(task.n_logits for task in dataset.tasks)
    student = Student(FAMILIES[name].config, contract.n_mels, contract.n_frames, n_logits)
    real = torch.from_numpy(values)
    with torch.no_grad():
        student.train()(real)
        embedding, _ = student.eval()(real)
        student.embedding.bias -= embedding.mean(0)
        student.head.bias -= student(real)[1].mean(0)
    with divert_output():
        float_model = litert.convert(NamedFeatures(student), "features", real[:1])
        return litert.quantise(float_model, "features", values)


def _write(library: Path, firmware: Firmware, clips: Pcm, answers: Answers) -> None:
    excerpt = Excerpt(clips[0], answers.embedding[0], answers.logits[0])
    texts = library_files(firmware, excerpt)
    texts |= {f"test/{name}": text for name, text in shipped_files("test").items()}
    for path, text in texts.items():
        (library / path).parent.mkdir(parents=True, exist_ok=True)
        (library / path).write_text(text, encoding="utf-8")
    (library / "test" / "golden.bin").write_bytes(golden_test(clips, answers))


def _build(library: Path, core: Core, flags: tuple[str, ...]) -> dict[str, Any]:
    say(f"{core.title} {' '.join(flags)}: running")
    with tempfile.TemporaryDirectory() as built:
        elf = build_test(library, core, Path(built), flags)
        return {**asdict(run_test(elf, core, library / "test")), **asdict(size_of(Path(built)))}


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
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
