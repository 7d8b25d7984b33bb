"""How many clips a second does alignment train on? Ours against a plain loop, one and two processes.

    python benchmarks/alignment.py FOLDER

The plain loop is what AcuLA's recipe says word by word: each step puts its reports through the language
model and its sound through the whole encoder. Ours computes what never changes once: the reports'
embeddings, and the frozen trunk's features. All systems run the same steps through the same code on the
same recordings, each in a fresh process with one thread; the first steps are not timed. Two processes
share every batch. The result, with every sample, goes to benchmarks/results/alignment.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from acula_edge.artifact import write_json
from acula_edge.bench.memory import peak_resident_bytes
from acula_edge.checkpoint import Schedule, Training, fit
from acula_edge.contract import AudioContract
from acula_edge.data.audio import resample, to_float32, to_int16
from acula_edge.data.config import DataConfig
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.stage import DataInputs, run
from acula_edge.encoders.registry import pretrained
from acula_edge.environment import environment
from acula_edge.language.registry import load
from acula_edge.progress import say, track
from acula_edge.teacher.align import AlignmentModel, batch_parts
from acula_edge.teacher.config import TeacherConfig, Tuning
from acula_edge.teacher.distributed import Processes
from acula_edge.teacher.pairs import PairBatch, Pairs
from acula_edge.teacher.tuning import tune

RESULT = Path(__file__).parent / "results" / "alignment.json"
STEPS, WARM_UP = 8, 2
LIMITATIONS = (
    "Where load_average stands near the number of cores, other work ran too: two processes then get less "
    "than two cores, and their ratio to one is not the loop's own.",
    "Caches are made once and are not in the clips/s; `once` says what they took.",
)
CONFIG = TeacherConfig(encoder="openwakeword", encoder_rate=0.3, speed=1.0, epochs=1)
N = STEPS * CONFIG.batch_size


@dataclass(frozen=True)
class System:
    """What is computed once, what learns, and by how many processes."""

    facts: str
    reports_once: bool = True
    trunk_once: bool = False
    tuning: Tuning = Tuning.TOP
    processes: int = 1


SYSTEMS = {
    "plain": System("language model and whole encoder at each step", reports_once=False),
    "reports_once": System("reports embedded once, whole encoder at each step"),
    "ours": System("reports and frozen trunk computed once", trunk_once=True),
    "ours_2": System("the same, two processes", trunk_once=True, processes=2),
    "full": System("reports embedded once, every layer learns", tuning=Tuning.FULL),
    "full_2": System("the same, two processes", tuning=Tuning.FULL, processes=2),
}


def prepare(folder: Path, work: Path) -> dict[str, float]:
    """Write sound, reports and both caches into `work`; the seconds that each cache takes once."""
    dataset = Dataset.open(run(DataConfig(), DataInputs(folder), work / "dataset"))
    rows = dataset.of(Split.TRAIN)[:N]
    encoder = pretrained(CONFIG.encoder, dataset.contract, CONFIG.seed, CONFIG.speed).eval()
    device_hz, rate_hz = dataset.contract.sample_rate_hz, encoder.input_rate_hz
    heard = (resample(dataset.waveform(item, device_hz), device_hz, rate_hz) for item in rows)
    waves = [to_int16(np.resize(wave, max(wave.size, rate_hz))) for wave in heard]  # 1 s at least
    _store(work / "waves", waves)
    reports = [item.report for item in rows]
    (work / "reports.json").write_text(json.dumps(reports), encoding="utf-8")
    (work / "contract.json").write_text(dataset.contract.model_dump_json(), encoding="utf-8")
    language = load(CONFIG.language)
    start = time.perf_counter()
    unique = sorted(set(reports))
    table = dict(zip(unique, language.embed(unique), strict=True))
    reports_s = time.perf_counter() - start
    np.save(work / "texts.npy", np.stack([table[report] for report in reports]))
    start = time.perf_counter()
    with torch.no_grad():
        sound = (torch.from_numpy(to_float32(wave))[None] for wave in track(waves, N, "trunk"))
        features = [encoder.trunk(wave)[0].half().numpy() for wave in sound]
    trunk_s = time.perf_counter() - start
    _store(work / "trunk", features)
    (work / "rate.json").write_text(json.dumps(sum(map(len, features)) / (sum(map(len, waves)) / rate_hz)))
    return {
        "reports_s": reports_s,
        "distinct_reports": len(unique),
        "trunk_s": trunk_s,
        "trunk_bytes": sum(part.nbytes for part in features),
        "sound_seconds": sum(map(len, waves)) / rate_hz,
    }


def _store(path: Path, parts: list[np.ndarray]) -> None:
    np.save(path.with_suffix(".npy"), np.concatenate(parts))
    np.save(path.with_suffix(".ends.npy"), np.cumsum([len(part) for part in parts]))


def _fetch(path: Path) -> tuple[np.ndarray, ...]:
    ends = np.load(path.with_suffix(".ends.npy"))
    return tuple(np.split(np.load(path.with_suffix(".npy"), mmap_mode="r"), ends[:-1]))


def measure(name: str, work: Path) -> None:
    """Run one system here; the first process writes its steps' seconds and its memory."""
    system = SYSTEMS[name]
    torch.set_num_threads(1)
    processes = Processes.here()
    contract = AudioContract.model_validate_json((work / "contract.json").read_text(encoding="utf-8"))
    reports = json.loads((work / "reports.json").read_text(encoding="utf-8"))
    language = None if system.reports_once else load(CONFIG.language)
    texts = np.load(work / "texts.npy")
    pairs = _pairs(system, work, texts)
    before_bytes = peak_resident_bytes()
    model = AlignmentModel(
        pretrained(CONFIG.encoder, contract, CONFIG.seed, CONFIG.speed), texts.shape[1], CONFIG
    )
    tune(model.encoder, system.tuning)

    def draw(_epoch: int, rng: np.random.Generator) -> Iterator[PairBatch]:
        for indices in np.split(rng.permutation(N), STEPS):
            batch = pairs.batch(indices, CONFIG.crop_seconds, rng)
            if language:
                told = language.embed([reports[index] for index in indices])
                batch = replace(batch, texts=torch.from_numpy(told))
            yield batch

    def loss(batch: PairBatch) -> dict[str, torch.Tensor]:
        return batch_parts(model, batch, CONFIG.micro_batch, processes)

    ends: list[float] = []
    schedule = Schedule(1, STEPS, CONFIG.learning_rate, CONFIG.weight_decay, 0, CONFIG.clip_norm, CONFIG.seed)
    history = fit(
        Training(model, draw, loss, lambda: 0.0),
        schedule,
        work / f"{name}.safetensors",
        name,
        processes,
        lambda part, _value, _step: ends.append(time.perf_counter()) if part == "rate" else None,
    )
    peak_bytes = peak_resident_bytes()
    if processes.main:
        found = {
            "step_s": np.diff(ends)[WARM_UP - 1 :].tolist(),
            "mean_loss": history[0].loss,
            "peak_mib": peak_bytes / 2**20,
            "added_mib": (peak_bytes - before_bytes) / 2**20,
        }
        write_json(work / f"{name}.json", found)


def _pairs(system: System, work: Path, texts: np.ndarray) -> Pairs:
    rate_hz = json.loads((work / "rate.json").read_text()) if system.trunk_once else 16000.0
    inputs = _fetch(work / ("trunk" if system.trunk_once else "waves"))
    return Pairs(inputs, texts[:, None], np.ones(N, dtype=bool), ("all",) * N, rate_hz)


def _run(name: str, work: Path) -> dict[str, object]:
    """One system in fresh processes of one thread each."""
    count = SYSTEMS[name].processes
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command = [sys.executable, *(torchrun if count > 1 else []), __file__, "--measure", name, str(work)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    found = json.loads((work / f"{name}.json").read_text(encoding="utf-8"))
    median = float(np.median(found["step_s"]))
    return {
        "facts": SYSTEMS[name].facts,
        "processes": count,
        "clips_per_s": CONFIG.batch_size / median,
        "p90_step_s": float(np.quantile(found["step_s"], 0.9)),
        **found,
    }


def main() -> None:
    """Measure every system and write the result."""
    if sys.argv[1] == "--measure":
        measure(sys.argv[2], Path(sys.argv[3]))
        return
    load_before = os.getloadavg()
    with tempfile.TemporaryDirectory() as scratch:
        once = prepare(Path(sys.argv[1]), Path(scratch))
        systems = {name: _run(name, Path(scratch)) for name in SYSTEMS}
    rate = {name: float(found["clips_per_s"]) for name, found in systems.items()}  # type: ignore[arg-type]
    ratios = {
        "ours_over_plain": rate["ours"] / rate["plain"],
        "ours_two_processes_over_one": rate["ours_2"] / rate["ours"],
        "full_two_processes_over_one": rate["full_2"] / rate["full"],
    }
    write_json(
        RESULT,
        {
            "protocol": (__doc__ or "").split("\n\n")[2],
            "recordings": N,
            "batch_size": CONFIG.batch_size,
            "crop_seconds": CONFIG.crop_seconds,
            "encoder": CONFIG.encoder,
            "language": CONFIG.language,
            "threads": 1,
            "once": once,
            "systems": systems,
            "ratios": ratios,
            "limitations": LIMITATIONS,
            "load_average": {"before": load_before, "after": os.getloadavg()},
            "environment": environment(),
        },
    )
    for name, found in systems.items():
        print(f"{name:13} {rate[name]:8.1f} clips/s  peak {found['peak_mib']:.0f} MiB  {found['facts']}")
    for name, ratio in ratios.items():
        print(f"{name:28} {ratio:.2f}")
    say(f"{RESULT} is written")


if __name__ == "__main__":
    main()
