"""Tuning on real clips: a planted fragile layer is found, within the budget and across a kill."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from acula_edge.errors import ArtifactError, DataError
from acula_edge.runtime.runner import Runtime
from acula_edge.students.student import Student
from quantize.calibration import CalibrationConfig
from quantize.candidate import Candidate, candidates
from quantize.prepared import Prepared
from quantize.qat_config import QatConfig
from quantize.ranges import Observer
from quantize.scheme import Scheme, SchemeConfig
from quantize.tuning import Exam, Workshop
from quantize.tuning_config import TuningConfig
from tests.quantize.test_scheme import CONFIG
from tests.recordings import needs_recordings
from tests.students.shapes import heard, real_features

FRAGILE = "trunk.1.1"  # a pointwise convolution
ORDER = (FRAGILE, "trunk.2.layers.0", "head")
BASE = SchemeConfig()


def _plant(student: Student) -> Student:
    """The same network in float: one channel a thousandth, and the layer behind it a thousandfold there.

    That layer's INT8 weights then have no steps left for the other channels. The channel itself, which no
    step of its own grid is left for, is one that the layer hardly hears.
    """
    broken = copy.deepcopy(student)
    norm, pointwise = broken.trunk[1][0][1], broken.trunk[1][1][0]
    with torch.no_grad():
        channel = int(pointwise.weight.square().sum((0, 2, 3)).argmin())
        pointwise.weight[:, channel] /= 10
        norm.weight[channel] /= 10_000
        norm.bias[channel] /= 10_000
        pointwise.weight[:, channel] *= 10_000
    return broken


@pytest.fixture(scope="module")
def broken() -> Prepared:
    features = real_features(48)
    return Prepared.of(_plant(heard(CONFIG, features)), features[:24], BASE, CalibrationConfig())


def _exam(network: Student) -> Exam:
    """How well logits tell the clips apart that the float network's logits put above their medians."""
    features = real_features(48)
    with torch.no_grad():
        logits = network(features)[1].numpy()
    truth = logits > np.median(logits, axis=0)

    def score(found: np.ndarray) -> float:
        return float(
            np.mean([roc_auc_score(truth[:, task], found[:, task]) for task in range(truth.shape[1])])
        )

    return Exam(features.numpy(), score)


def _no_training(_prepared: Prepared, _checkpoint: Path) -> Prepared:
    raise AssertionError("no trial of this search trains")


def _workshop(prepared: Prepared, folder: Path, config: TuningConfig) -> Workshop:
    exam = _exam(prepared.network)
    return Workshop(prepared, CalibrationConfig(), exam, ORDER, _no_training, config, folder)


def _lines(workshop: Workshop) -> list[dict]:
    return [json.loads(line) for line in workshop.log.read_text().splitlines()]


CONFIG_OF_TEST = TuningConfig(trials=8, tolerable_loss=0.02, qat=False)


@needs_recordings
def test_the_fragile_layer_is_found_and_the_score_recovered_within_the_budget(
    broken: Prepared, tmp_path: Path
) -> None:
    workshop = _workshop(broken, tmp_path, CONFIG_OF_TEST)
    tuned = workshop.tune()
    trials = _lines(workshop)
    assert trials[0]["score"] < 0.9  # INT8 as it comes is broken
    assert len(trials) <= CONFIG_OF_TEST.trials
    assert tuned.prepared.scheme.float_modules[0] == FRAGILE
    assert trials[-1]["score"] >= workshop.floating - CONFIG_OF_TEST.tolerable_loss
    assert all(trial["score"] < workshop.floating - 0.02 for trial in trials[:-1])  # it ends at the first
    assert workshop.floating == pytest.approx(1.0)


def test_a_killed_search_runs_no_trial_twice(
    broken: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from quantize import tuning

    once = _workshop(broken, tmp_path / "once", CONFIG_OF_TEST).tune()
    run, ran = tuning._RUN[Runtime.TFLITE], []

    def counted(kill_at: int) -> Callable[[Prepared, Exam, Path], np.ndarray]:
        def running(prepared: Prepared, exam: Exam, folder: Path) -> np.ndarray:
            if len(ran) == kill_at:
                raise KeyboardInterrupt
            ran.append(prepared.scheme)
            return run(prepared, exam, folder)

        return running

    monkeypatch.setattr(tuning, "_RUN", {Runtime.TFLITE: counted(kill_at=3)})
    with pytest.raises(KeyboardInterrupt):
        _workshop(broken, tmp_path / "killed", CONFIG_OF_TEST).tune()
    monkeypatch.setattr(tuning, "_RUN", {Runtime.TFLITE: counted(kill_at=-1)})
    again = _workshop(broken, tmp_path / "killed", CONFIG_OF_TEST)
    assert again.tune().prepared.scheme == once.prepared.scheme
    assert _lines(again) == _lines(_workshop(broken, tmp_path / "once", CONFIG_OF_TEST))
    assert len(ran) == len(_lines(again))


def test_of_a_search_that_reaches_no_goal_the_best_is_taken(broken: Prepared, tmp_path: Path) -> None:
    config = CONFIG_OF_TEST.model_copy(update={"trials": 4, "tolerable_loss": 0.0})
    workshop = _workshop(broken, tmp_path, config)
    tuned = workshop.tune()
    best = max(_lines(workshop), key=lambda trial: trial["score"])
    assert len(_lines(workshop)) == 4
    assert tuned.calibration.observer == best["candidate"]["observer"]


def test_a_sound_student_needs_one_trial(tmp_path: Path) -> None:
    features = real_features(48)
    sound = Prepared.of(heard(CONFIG, features), features[:24], BASE, CalibrationConfig())
    workshop = _workshop(sound, tmp_path, CONFIG_OF_TEST)
    assert workshop.tune().prepared.scheme == BASE
    assert len(_lines(workshop)) == 1


def test_both_runtimes_are_algorithms_of_neural_compressor() -> None:
    from neural_compressor.common.base_config import config_registry
    from neural_compressor.torch.utils.utility import algos_mapping

    import quantize.compressor  # noqa: F401 (registers them)

    assert {"acula_edge_pt2e", "acula_edge_litert"} <= set(algos_mapping)
    assert {"acula_edge_pt2e", "acula_edge_litert"} <= set(config_registry.get_cls_configs()["torch"])


def test_an_exam_without_a_task_and_the_log_of_another_search_are_refused(
    broken: Prepared, tmp_path: Path
) -> None:
    workshop = _workshop(broken, tmp_path, CONFIG_OF_TEST)
    workshop.log.write_text('{"trial": 1, "candidate": {}, "score": 0.5, "float": 0.25}\n')
    with pytest.raises(ArtifactError, match="another search"):
        workshop.tune()
    workshop.log.write_text('{"trial": 1, "cand\n')
    with pytest.raises(ArtifactError, match="damaged"):
        workshop.tune()
    with pytest.raises(DataError, match="can score no task"):
        Exam(np.zeros((1, 1)), lambda _: None).rate(np.zeros((1, 1), np.float32))


def test_candidates_begin_with_what_was_asked_for_and_get_dearer() -> None:
    scheme = SchemeConfig(float_modules=("head",))
    calibration = CalibrationConfig(observer=Observer.MSE)
    ladder = candidates(scheme, calibration, TuningConfig(trials=100, max_float_layers=2), layers=9)
    assert ladder[0] == Candidate(Observer.MSE)
    assert len(set(ladder)) == len(ladder)
    assert {candidate.observer for candidate in ladder[:4]} == set(Observer)
    assert {candidate.float_layers for candidate in ladder} == {0, 1, 2}
    costs = [candidate.qat for candidate in ladder[:-1]]
    assert costs == sorted(costs)
    trained = ladder[-2].scheme(scheme, ("trunk.0", "head", "trunk.1"))
    assert trained.float_modules == ("head", "trunk.0")
    assert trained.qat == QatConfig()
    assert len(candidates(scheme, calibration, TuningConfig(trials=3), layers=9)) == 3


def test_what_a_scheme_can_not_be_combined_with_is_no_candidate() -> None:
    config, calibration = TuningConfig(trials=100), CalibrationConfig()
    dynamic = candidates(SchemeConfig(pte=Scheme.DYNAMIC), calibration, config, layers=9)
    assert all(candidate.per_channel and not candidate.qat for candidate in dynamic)
    assert {candidate.float_layers for candidate in dynamic} == {0, 1, 2, 4}
    static = candidates(SchemeConfig(), calibration, config, layers=9)
    assert set(static) > set(dynamic)
