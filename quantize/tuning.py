"""Tuning: the first way to quantise that keeps the validation AUROC, found in few trials.

Every trial is a line of `tuning.jsonl`; a search that was killed reads them and goes on behind the last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from acula_edge.errors import ArtifactError, DataError
from acula_edge.progress import say
from acula_edge.runtime.divert import divert_output
from acula_edge.runtime.runner import Runtime, open_runner
from acula_edge.students.student import Student
from quantize import executorch, litert
from quantize.calibration import CalibrationConfig
from quantize.candidate import Candidate, candidates
from quantize.graphs import NamedFeatures
from quantize.prepared import Prepared
from quantize.tuning_config import TuningConfig

if TYPE_CHECKING:
    from quantize.compressor import Quantised

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Exam:
    """Features (n, 1, n_mels, n_frames) of validation clips; `score` rates their logits (n, K)."""

    features: Floats
    score: Callable[[Floats], float | None]

    def rate(self, logits: Floats) -> float:
        """Raises DataError if the clips can not be scored."""
        found = self.score(logits)
        if found is None or not found > 0:
            raise DataError(
                "the validation clips can score no task, so that nothing can be tuned; "
                "add labelled recordings, or leave out tuning"
            )
        return found


@dataclass(frozen=True)
class Tuned:
    """The network with its grids, the calibration that they come from, and the file of trials, if any."""

    prepared: Prepared
    calibration: CalibrationConfig
    trials: Path | None = None


@dataclass(frozen=True)
class Workshop:
    """All that trials need: the student with its statistics, the exam, and where the trials are written.

    `order` names layers, the most fragile first. `retrain` runs QAT, and writes its checkpoint to the path
    that it is given. `folder` keeps `tuning.jsonl` and the checkpoints.
    """

    base: Prepared
    calibration: CalibrationConfig
    exam: Exam
    order: Sequence[str]
    retrain: Callable[[Prepared, Path], Prepared]
    config: TuningConfig
    folder: Path
    _trained: dict[Candidate, Prepared] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """The file of trials."""
        return self.folder / "tuning.jsonl"

    def tune(self) -> Tuned:
        """Try candidates until one is good enough or the budget is spent.

        Raises DataError if the exam can score no task, ArtifactError if `tuning.jsonl` is of another search.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with divert_output(self.folder / "tuning.log"):
            from quantize.compressor import Quantised, search

        ladder = candidates(self.base.scheme, self.calibration, self.config, len(self.order))
        floating = Quantised(None, lambda: self.floating)
        best = search(ladder, self.config.runtime, floating, self.quantise, self.config.tolerable_loss)
        return Tuned(self.prepare(best), best.calibration(self.calibration), self.log)

    @cached_property
    def floating(self) -> float:
        """The float student's score."""
        with torch.no_grad():
            batches = torch.split(torch.from_numpy(self.exam.features), 32)
            logits = torch.cat([self.base.network(batch)[1] for batch in batches])
        return self.exam.rate(logits.numpy())

    def quantise(self, candidate: Candidate) -> Quantised:
        """The candidate, to be scored once: a trial that the log holds is not run again."""
        from quantize.compressor import Quantised

        return Quantised(candidate, lambda: self._score(candidate))

    def prepare(self, candidate: Candidate) -> Prepared:
        """The network, trained if the candidate asks for it, and its grids."""
        scheme = candidate.scheme(self.base.scheme, self.order)
        prepared = self.base.regrid(scheme, candidate.calibration(self.calibration))
        if not candidate.qat:
            return prepared
        if candidate not in self._trained:
            name = "-".join(str(value) for value in candidate.to_json().values())
            self._trained[candidate] = self.retrain(prepared, self.folder / f"{name}.safetensors")
        return self._trained[candidate]

    def _score(self, candidate: Candidate) -> float:
        known = self._trials()
        choices = candidate.to_json()
        for trial in known:
            if trial["candidate"] == choices:
                return float(trial["score"])
        score = self.exam.rate(_RUN[self.config.runtime](self.prepare(candidate), self.exam, self.folder))
        kept = list(self.prepare(candidate).scheme.float_modules)
        trial = {"trial": len(known) + 1, "candidate": choices, "float_modules": kept, "score": score}
        with self.log.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({**trial, "float": self.floating}) + "\n")
        say(f"tuning {trial['trial']}: {_words(candidate)}: {score:.4f}, float {self.floating:.4f}")
        return score

    def _trials(self) -> list[dict[str, Any]]:
        if not self.log.is_file():
            return []
        lines = self.log.read_text(encoding="utf-8").splitlines()
        try:
            trials = [json.loads(line) for line in lines]
        except json.JSONDecodeError:
            raise ArtifactError(f"{self.log} is damaged; remove it to start the search afresh") from None
        if any(trial["float"] != self.floating for trial in trials):
            raise ArtifactError(f"{self.log} is of another search; remove it to start afresh")
        return trials


def _words(candidate: Candidate) -> str:
    choices = candidate.to_json()
    return ", ".join(f"{name} {value}" for name, value in choices.items())


@lru_cache(maxsize=1)
def _float_tflite(network: Student) -> bytes:
    """Kept from trial to trial: the conversion takes longer than all else."""
    silence = torch.zeros(1, 1, network.n_mels, network.n_frames)
    return litert.convert(NamedFeatures(network), "features", silence)


def _run_tflite(prepared: Prepared, exam: Exam, folder: Path) -> Floats:
    features = prepared.features.numpy()
    with divert_output(folder / "tuning.log"):
        net = _float_tflite(prepared.network)
        grids = (prepared.scheme, prepared.sites, prepared.ranges)
        (folder / "trial.tflite").write_bytes(litert.quantise(net, "features", features, *grids))
    return open_runner(folder / "trial.tflite").run(exam.features).logits


def _run_pte(prepared: Prepared, exam: Exam, folder: Path) -> Floats:
    features = prepared.features
    with divert_output(folder / "tuning.log"):
        quantised = executorch.quantise(prepared.network, features, prepared.scheme, prepared.ranges)
        (folder / "trial.pte").write_bytes(executorch.lower(quantised, forward=features[:1]).program)
    return open_runner(folder / "trial.pte").run(exam.features).logits


_RUN: Mapping[Runtime, Callable[[Prepared, Exam, Path], Floats]] = {
    Runtime.TFLITE: _run_tflite,
    Runtime.PTE: _run_pte,
}
