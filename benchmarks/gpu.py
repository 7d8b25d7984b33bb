"""What does a GPU give? Alignment of every encoder and training of every student, against the CPU beside it.

    python benchmarks/gpu.py

Encoders and students have random weights and hear noise: weights change no time. Alignment trains every
layer on whole batches of 8-second crops, with the loss over the whole batch, by deterministic kernels; fp32
is full float32. The first steps are not timed. `agreement` is the largest difference between the GPU's and
the CPU's gradients of one step in float32, over the largest gradient of the same tensor on the CPU; it is
measured where random weights tell clips apart and no mask is drawn. The result goes to
benchmarks/results/gpu.json.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acula_edge.artifact import write_json
from acula_edge.checkpoint import Schedule, Training, fit
from acula_edge.contract import Affine, AudioContract
from acula_edge.data.recording import Recording, Split
from acula_edge.data.tasks import ClassRule, Task
from acula_edge.determinism import be_deterministic
from acula_edge.encoders.registry import empty
from acula_edge.environment import environment
from acula_edge.progress import say
from acula_edge.students.space import TextSpace, unit_rows
from acula_edge.students.student import Student
from acula_edge.teacher import config as teacher_config
from acula_edge.teacher.align import AlignmentModel, batch_parts
from acula_edge.teacher.config import TeacherConfig
from acula_edge.teacher.distributed import Processes
from acula_edge.teacher.pairs import PairBatch, Pairs
from distill import config as distill_config
from distill.augment_config import AugmentConfig
from distill.batches import Batches
from distill.config import DistillConfig
from distill.model import DistillModel
from distill.text_space import Texts
from distill.training import train
from distill.views import Views

RESULT = Path(__file__).parent / "results" / "gpu.json"
ENCODERS = ("openwakeword", "whisper-base", "opera-ct", "opera-ce", "opera-gt", "ast", "audiomae")
AGREE = ("whisper-base", "opera-ct", "ast")
STUDENTS = ("tiny", "small", "base", "large")
STEPS, WARM_UP, CROP_S, TEXT_DIM = 12, 4, 8.0, 384
BATCH, CPU_BATCH, STUDENT_BATCH = 48, 4, 64
TASK = Task(name="two", dataset="d", classes=tuple(ClassRule(name=name, values=(name,)) for name in "ab"))
LIMITATIONS = (
    "Random weights and noise: times and agreement only, nothing is learned.",
    "The CPU runs one step of a smaller batch of encoders; its clips/s are of that.",
)


def contract() -> AudioContract:
    """The default front end, with a normalisation."""
    plain = AudioContract()
    return plain.with_normalisation(Affine(mean=(-8.0,) * plain.n_mels, std=(4.0,) * plain.n_mels))


def pairs(rate_hz: int, n: int) -> Pairs:
    """Noise and random reports."""
    rng = np.random.default_rng(0)
    waves = rng.normal(0, 3000, size=(n, round(CROP_S * rate_hz))).astype(np.int16)
    texts = rng.normal(size=(n, 1, TEXT_DIM)).astype(np.float32)
    return Pairs(tuple(waves), texts, np.ones(n, dtype=bool), ("all",) * n, float(rate_hz))


def views(n: int, n_logits: int, shared: int) -> Views:
    """Noise of `n` clips, a recording each, and random answers."""
    rng, front = np.random.default_rng(0), contract()
    items = tuple(
        Recording(f"r{row}", "", "d", "", "", Split.TRAIN, 4000, 0, 1, "", labels={"two": row % 2})
        for row in range(n)
    )
    return Views(
        items,
        rng.normal(size=(n, front.n_mels, front.n_frames)).astype(np.float16),
        rng.normal(size=(n, 192)).astype(np.float32),
        rng.normal(size=(n, n_logits)).astype(np.float32),
        unit_rows(rng.normal(size=(n, shared)).astype(np.float32)),
        np.arange(n)[:, None] % 2,
        np.arange(n),
        np.arange(n),
        np.zeros(n, dtype=np.intp),
    )


def texts(own: Views, dim: int) -> Texts:
    """Random reports, one a recording, in `dim` directions."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(own.aligned.shape[1], dim)))[0].astype(np.float32)
    prototypes = {TASK.name: unit_rows(rng.normal(size=(2, dim)).astype(np.float32))}
    reports = unit_rows(rng.normal(size=(len(own), dim)).astype(np.float32))
    named = {item.id: row for row, item in enumerate(own.recordings)}
    return Texts(TextSpace(basis, prototypes, 1.0), reports, named)


def aligned(name: str, config: TeacherConfig) -> AlignmentModel:
    """An encoder with random weights and its heads."""
    torch.manual_seed(0)
    return AlignmentModel(empty(name, contract()), TEXT_DIM, config)


def encoder_gradients(name: str, device: str) -> tuple[dict[str, torch.Tensor], float]:
    """The gradients (on the CPU) of one step of CPU_BATCH clips in float32, and its seconds."""
    model = aligned(name, TeacherConfig(dropout=0.0)).to(device).eval()
    heard = pairs(model.encoder.contract.sample_rate_hz, CPU_BATCH)
    batch = heard.batch(np.arange(CPU_BATCH), CROP_S, np.random.default_rng(0))
    here = Processes(0, 1, torch.device(device))
    start = time.perf_counter()
    torch.stack(list(batch_parts(model, batch, None, here).values())).sum().backward()  # type: ignore[no-untyped-call]
    return _gradients(model), time.perf_counter() - start


def student_gradients(name: str, device: str) -> tuple[dict[str, torch.Tensor], float]:
    """The same of the default distillation of a student."""
    plain = DistillConfig(student=name, augment=AugmentConfig(views=1))
    still = plain.student.model_copy(update={"dropout": 0.0})  # a GPU draws other masks than a CPU
    config = plain.model_copy(update={"student": still})
    own = views(STUDENT_BATCH, 1, 256)
    told = texts(own, config.student.embedding_dim)
    batches = Batches(own, (TASK,), told, contract(), config)
    batch = next(iter(batches.draw(0, np.random.default_rng(0)))).to(torch.device(device))
    torch.manual_seed(0)
    front = contract()
    student = Student(config.student, front.n_mels, front.n_frames, 1)
    model = DistillModel(student, 192, (TASK,), torch.from_numpy(told.reports), config).to(device).train()
    start = time.perf_counter()
    torch.stack(list(model(batch).values())).sum().backward()  # type: ignore[no-untyped-call]
    return _gradients(model), time.perf_counter() - start


def _gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: item.grad.cpu() for name, item in model.named_parameters() if item.grad is not None}


def agreement(of: Callable[[str, str], tuple[dict[str, torch.Tensor], float]], name: str) -> dict[str, Any]:
    """How far the GPU's gradients lie from the CPU's, the tensor of the largest difference, CPU seconds."""
    (ours, _), (theirs, cpu_s) = of(name, "cuda"), of(name, "cpu")
    largest = max(float(value.abs().max()) for value in theirs.values())
    differs = {
        # A bias before a normalisation has no gradient but rounding: it is measured against the whole.
        key: float((ours[key] - value).abs().max()) / max(float(value.abs().max()), 1e-3 * largest)
        for key, value in theirs.items()
    }
    worst = max(differs, key=lambda key: differs[key])
    return {
        "difference": differs[worst],
        "tensor": worst,
        "median": float(np.median(list(differs.values()))),
        "cpu_s": cpu_s,
    }


def align_rate(name: str, precision: teacher_config.Precision) -> dict[str, float]:
    """Clips a second and peak memory of alignment on the GPU."""
    config = TeacherConfig(precision=precision)
    model = aligned(name, config).cuda()
    heard, processes = pairs(model.encoder.contract.sample_rate_hz, BATCH), Processes.here()

    def draw(_epoch: int, rng: np.random.Generator) -> Iterator[PairBatch]:
        return (heard.batch(rng.permutation(BATCH), CROP_S, rng) for _ in range(STEPS))

    training = Training(model, draw, lambda batch: batch_parts(model, batch, None, processes), lambda: 0.0)
    return _timed(BATCH, lambda log, folder: fit(training, _schedule(), folder / "c", name, processes, log))


def student_rate(name: str, precision: distill_config.Precision) -> dict[str, float]:
    """The same of the default distillation of a student."""
    config = DistillConfig(student=name, precision=precision, epochs=1, augment=AugmentConfig(views=1))
    own, few = views(STEPS * STUDENT_BATCH, 1, 256), views(8, 1, 256)
    told = texts(own, config.student.embedding_dim)
    return _timed(
        STUDENT_BATCH,
        lambda log, folder: train(config, (TASK,), contract(), own, few, told, folder / "c", name, log),
    )


def _schedule() -> Schedule:
    return Schedule(1, STEPS, 1e-4, 1e-2, 0, 1.0, 0)


def _timed(batch: int, run: Callable[[Callable[[str, float, int], None], Path], Any]) -> dict[str, float]:
    """Clips a second, from the median step, with its spread, and the GPU's peak memory."""
    ends: list[float] = []
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as scratch:
        # The loss of every step is read on the host, so that a step's end is the GPU's.
        run(lambda part, _v, _s: ends.append(time.perf_counter()) if part == "rate" else None, Path(scratch))
    rates = batch / np.diff(ends)[WARM_UP - 1 :]
    return {
        "clips_per_s": float(np.median(rates)),
        "least": float(rates.min()),
        "most": float(rates.max()),
        "peak_mib": torch.cuda.max_memory_allocated() / 2**20,
    }


def main() -> None:
    """Measure all and write the result."""
    if not torch.cuda.is_available():
        sys.exit("there is no GPU here")
    be_deterministic()
    torch.set_num_threads(8)
    found: dict[str, Any] = {"encoders": {}, "students": {}}
    for name in ENCODERS:
        rates = {kind.value: align_rate(name, kind) for kind in teacher_config.Precision}
        found["encoders"][name] = rates
        if name in AGREE:
            found["encoders"][name]["agreement"] = agreement(encoder_gradients, name)
        say(f"{name}: {found['encoders'][name]}")
    for name in STUDENTS:
        rates = {kind.value: student_rate(name, kind) for kind in distill_config.Precision}
        found["students"][name] = {**rates, "agreement": agreement(student_gradients, name)}
        say(f"{name}: {found['students'][name]}")
    about = {"batch": BATCH, "cpu_batch": CPU_BATCH, "student_batch": STUDENT_BATCH, "crop_s": CROP_S}
    device = {"gpu": torch.cuda.get_device_name(), "cpu_threads": torch.get_num_threads()}
    write_json(RESULT, {**about, **device, **found, "limitations": LIMITATIONS, "environment": environment()})


if __name__ == "__main__":
    main()
