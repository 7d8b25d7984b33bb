"""Preparation: from the float student to grids, as the config asks: calibrated, trained or tuned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.spread import Clips, spread_clips
from acula_edge.progress import say
from acula_edge.runtime.divert import divert_output
from acula_edge.students.student import Student
from quantize.choice import features_of
from quantize.config import QuantizeConfig
from quantize.executorch import quantise
from quantize.fidelity import mean_auroc
from quantize.prepared import Prepared
from quantize.qat import Lessons, retrain
from quantize.sensitivity import scan_graph
from quantize.tuning import Exam, Floats, Tuned, Workshop
from quantize.tuning_config import TuningConfig

_LOG = "preparation.log"
_SCANNED = 16  # clips on which the layers are ordered by what they cost


@dataclass(frozen=True)
class Preparation:
    """What grids are made from; `work` keeps checkpoints and trials, from which a killed run goes on."""

    config: QuantizeConfig
    dataset: Dataset
    student: Student
    calibration: Clips
    work: Path

    def run(self) -> Tuned:
        """The network, its grids and the calibration that they come from.

        Raises DataError if tuning is asked for and the validation clips can score no task.
        """
        say("quantize: measuring what every tensor holds")
        features = torch.from_numpy(features_of(self.calibration, self.dataset))
        with divert_output(self.work / _LOG):
            prepared = Prepared.of(self.student, features, self.config.scheme, self.config.calibration)
        if self.config.tuning is not None:
            return self._workshop(prepared, self.config.tuning).tune()
        if self.config.scheme.qat is not None:
            prepared = self._retrain(prepared, self.work / "qat.safetensors")
        return Tuned(prepared, self.config.calibration)

    @cached_property
    def _validation(self) -> Tensor:
        clips = spread_clips(self.dataset, Split.VAL, self.config.parity_clips, self.config.seed)
        return torch.from_numpy(features_of(clips, self.dataset))

    def _retrain(self, prepared: Prepared, checkpoint: Path) -> Prepared:
        qat = prepared.scheme.qat
        assert qat is not None
        train = spread_clips(self.dataset, Split.TRAIN, qat.clips, self.config.seed)
        lessons = Lessons(torch.from_numpy(features_of(train, self.dataset)), self._validation)
        return retrain(prepared, lessons, qat, self.config.seed, checkpoint)

    def _workshop(self, prepared: Prepared, config: TuningConfig) -> Workshop:
        exam, order = self._exam(config), self._order(prepared)
        calibration, folder = self.config.calibration, self.work / "tuning"
        return Workshop(prepared, calibration, exam, order, self._retrain, config, folder)

    def _exam(self, config: TuningConfig) -> Exam:
        clips = spread_clips(self.dataset, Split.VAL, config.clips, self.config.seed)
        by_id = {recording.id: recording for recording in self.dataset.of(Split.VAL)}
        heard = [by_id[name] for name in clips.recordings]

        def score(logits: Floats) -> float | None:
            return mean_auroc(self.dataset.tasks, heard, logits)

        return Exam(features_of(clips, self.dataset), score)

    def _order(self, prepared: Prepared) -> tuple[str, ...]:
        """Layers by the share of the embedding's error that goes away if one alone stays float."""
        with divert_output(self.work / _LOG):
            quantised = quantise(prepared.network, prepared.features, prepared.scheme, prepared.ranges)
        clips = self._validation[:_SCANNED]
        effects = scan_graph(quantised, self.student, clips, lambda _logits: None).effects
        return tuple(effect.layer for effect in sorted(effects, key=lambda effect: -effect.error))
