"""Thresholds by other means: scipy, scikit-learn, and the coverage that is promised."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.metrics import log_loss, roc_curve

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import Dataset
from acula_edge.data.tasks import ClassRule, Task
from acula_edge.evidence.decisions import Decision, Decisions, Rule
from quantize.hearing import FLOAT, hear
from quantize.thresholds import at_sensitivity, best_temperature, conformal, freeze, youden
from quantize.thresholds_config import ThresholdsConfig


def _task(n_classes: int) -> Task:
    names = [str(index) for index in range(n_classes)]
    return Task(name="t", dataset="d", classes=tuple(ClassRule(name=n, values=(n,)) for n in names))


def _drawn(n: int, seed: int = 0, scale: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, 1) and labels: overconfident, imbalanced."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.3).astype(np.int64)
    return scale * (1.5 * labels[:, None] - 1 + rng.normal(size=(n, 1))), labels


def test_the_temperature_is_scipys_for_two_and_for_more_classes() -> None:
    logits, labels = _drawn(400)

    def binary(temperature: float) -> float:
        return float(log_loss(labels, 1 / (1 + np.exp(-logits[:, 0] / temperature))))

    expected = minimize_scalar(binary, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-8}).x
    assert best_temperature(_task(2), logits, labels) == pytest.approx(expected, rel=1e-4)
    assert 1.5 < expected < 4

    rng = np.random.default_rng(1)
    many, kinds = rng.normal(size=(300, 4)), rng.integers(0, 4, 300)
    many[np.arange(300), kinds] += 1.0

    def several(temperature: float) -> float:
        return float(-log_softmax(many / temperature, axis=1)[np.arange(300), kinds].mean())

    expected = minimize_scalar(several, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-8}).x
    assert best_temperature(_task(4), many, kinds) == pytest.approx(expected, rel=1e-4)


def test_thresholds_are_those_of_scikit_learns_curve() -> None:
    logits, labels = _drawn(200)
    positive = 1 / (1 + np.exp(-logits[:, 0]))
    false, true, _ = roc_curve(labels, positive, drop_intermediate=False)
    best = youden(positive, labels)
    said = positive >= best
    index = said[labels == 1].mean() - said[labels == 0].mean()
    assert index == pytest.approx((true - false).max())
    assert best not in positive

    for least in (0.8, 0.95, 1.0):
        threshold = at_sensitivity(positive, labels, least)
        assert (positive[labels == 1] >= threshold).mean() >= least
        said = positive >= threshold
        assert said[labels == 0].mean() == pytest.approx(false[true >= least].min())


def test_conformal_ranks_are_those_of_the_definition() -> None:
    scores = np.arange(1, 20) / 20  # 19 of them
    assert conformal(scores, 0.9) == pytest.approx(18 / 20)  # the 18th of 19
    assert conformal(scores, 0.95) == pytest.approx(19 / 20)
    assert conformal(scores, 0.96) == 1.0  # the 20th: there is none
    assert conformal(scores[:3], 0.9) == 1.0


def test_of_each_class_no_more_are_decided_wrongly_than_promised() -> None:
    """The mean over many splits of what new recordings suffer, against 1 - coverage."""
    wrong: dict[int, list[float]] = {0: [], 1: []}
    decided = []
    config = ThresholdsConfig(coverage=0.8)
    for seed in range(150):
        logits, labels = _drawn(120, seed)
        rule = _rule(config, logits, labels)
        new, truth = _drawn(400, 10_000 + seed)
        said = [rule.decide(p) for p in 1 / (1 + np.exp(-new[:, 0]))]
        decided.append(np.mean([one is not Decision.ABSTAIN for one in said]))
        for label, other in ((0, Decision.POSITIVE), (1, Decision.NEGATIVE)):
            own = [one for one, known in zip(said, truth, strict=True) if known == label]
            wrong[label].append(np.mean([one is other for one in own]))
    for found in wrong.values():
        assert 0.05 < np.mean(found) < 0.2 + 3 * np.std(found) / np.sqrt(len(found))
    assert np.mean(decided) > 0.5


def _rule(config: ThresholdsConfig, logits: np.ndarray, labels: np.ndarray) -> Rule:
    from quantize.thresholds import _rule as rule_of

    return rule_of(config, 1 / (1 + np.exp(-logits[:, 0])), labels)


def test_the_threshold_lies_in_the_band_and_the_band_abstains() -> None:
    for seed in range(20):
        rule = _rule(ThresholdsConfig(), *_drawn(80, seed))
        assert rule.abstain_from <= rule.threshold <= rule.abstain_to
        assert rule.decide(rule.threshold) is Decision.ABSTAIN
        assert rule.decide(rule.abstain_to + 1e-4) is Decision.POSITIVE
        assert rule.decide(rule.abstain_from - 1e-4) is Decision.NEGATIVE
    few = _rule(ThresholdsConfig(), *_drawn(20))
    assert (few.abstain_from, few.abstain_to >= 0.5) == (0.0, True)  # too few positives to ever say negative
    stated = _rule(ThresholdsConfig(sensitivity=0.9), *_drawn(80))
    assert stated.chosen_by == "sensitivity of at least 0.9"


def test_the_stage_freezes_float_scores_of_validation(
    mini_quantized: Artifact, mini_dataset: Artifact
) -> None:
    heard = hear(mini_quantized.path, Dataset.open(mini_dataset))
    frozen = Decisions.model_validate(mini_quantized.read_json("thresholds.json"))
    assert freeze(ThresholdsConfig(), heard) == frozen
    noisy = {name: found if name == FLOAT else -found for name, found in heard.logits.items()}
    assert (
        freeze(ThresholdsConfig(), type(heard)(heard.tasks, heard.recordings, heard.embedding, noisy))
        == frozen
    )
    assert [own.task for own in frozen.tasks] == [task.name for task in heard.tasks]
    for task, own in zip(heard.tasks, frozen.tasks, strict=True):
        labels = [recording.labels.get(task.name) for recording in heard.recordings]
        assert own.counts == tuple(labels.count(k) for k in range(len(task.classes)))
        assert (own.rule is not None) == (task.n_logits == 1 and min(own.counts) > 0)
    assert any(own.rule for own in frozen.tasks)
