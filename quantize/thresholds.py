"""Thresholds: temperature, threshold and abstention band of each task, from float scores on validation."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.metrics import logit_slices, probabilities
from acula_edge.data.tasks import Task
from acula_edge.evidence.decisions import Decisions, Rule, TaskDecision
from quantize.hearing import FLOAT, Heard
from quantize.thresholds_config import ThresholdsConfig

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_WIDEST = math.log(20.0)  # temperatures from 1/20 to 20
_ROUNDS = 60  # each narrows the search by the golden ratio
_DECIMALS = 6
_GOLDEN = (math.sqrt(5) - 1) / 2


def freeze(config: ThresholdsConfig, heard: Heard) -> Decisions:
    """The decision of each task, from the float student's logits."""
    slices, cohort = logit_slices(heard.tasks), heard.cohort
    return Decisions(
        tasks=tuple(
            _decision(
                config,
                task,
                heard.logits[FLOAT][cohort.rows(task.name), slices[task.name]].astype(np.float64),
                cohort.labels(task.name),
            )
            for task in heard.tasks
        )
    )


def _decision(config: ThresholdsConfig, task: Task, logits: Floats, labels: Ints) -> TaskDecision:
    counts = np.bincount(labels, minlength=len(task.classes))
    both = bool((counts > 0).sum() > 1)
    temperature = round(best_temperature(task, logits, labels), _DECIMALS) if both else 1.0
    rule = None
    if task.n_logits == 1 and both:
        rule = _rule(config, probabilities(task, logits / temperature)[:, 1], labels)
    return TaskDecision(
        task=task.name, temperature=temperature, rule=rule, counts=tuple(int(count) for count in counts)
    )


def best_temperature(task: Task, logits: Floats, labels: Ints) -> float:
    """The temperature with the least negative log-likelihood of (n,) labels: golden-section search.

    The likelihood has one peak in the inverse temperature, and so in its logarithm.
    """

    def loss(log_temperature: float) -> float:
        found = probabilities(task, logits / math.exp(log_temperature))
        return float(-np.log(np.maximum(found[np.arange(len(labels)), labels], 1e-300)).mean())

    low, high = -_WIDEST, _WIDEST
    for _ in range(_ROUNDS):
        one, other = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if loss(one) <= loss(other):
            high = other
        else:
            low = one
    return math.exp((low + high) / 2)


def _rule(config: ThresholdsConfig, positive: Floats, labels: Ints) -> Rule:
    if config.sensitivity is None:
        threshold, chosen_by = youden(positive, labels), "Youden index"
    else:
        threshold = at_sensitivity(positive, labels, config.sensitivity)
        chosen_by = f"sensitivity of at least {config.sensitivity:g}"
    low = 1 - conformal(1 - positive[labels == 1], config.coverage)
    high = conformal(positive[labels == 0], config.coverage)
    # The threshold lies inside: what is decided, is decided by both.
    ends = sorted((low, high, threshold))
    return Rule(
        threshold=round(threshold, _DECIMALS),
        chosen_by=chosen_by,
        abstain_from=math.floor(ends[0] * 10**_DECIMALS) / 10**_DECIMALS,
        abstain_to=math.ceil(ends[-1] * 10**_DECIMALS) / 10**_DECIMALS,
        coverage=config.coverage,
    )


def youden(positive: Floats, labels: Ints) -> float:
    """The threshold with the largest sensitivity + specificity - 1; the lowest of equals.

    Youden, "Index for rating diagnostic tests" (Cancer 1950). It lies midway between two probabilities.
    """
    candidates = _between(positive)
    sensitivity, specificity = _rates(positive, labels, candidates)
    return float(candidates[np.argmax(sensitivity + specificity)])


def at_sensitivity(positive: Floats, labels: Ints, least: float) -> float:
    """The highest threshold that at least this share of the positives reaches."""
    candidates = _between(positive)
    sensitivity, _ = _rates(positive, labels, candidates)
    return float(candidates[sensitivity >= least].max())


def conformal(scores: Floats, coverage: float) -> float:
    """The ceil((n + 1) coverage)-th smallest of n scores; 1, the largest there is, if n is too small."""
    rank = math.ceil((len(scores) + 1) * coverage)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else 1.0


def _between(positive: Floats) -> Floats:
    """0, and the middles of neighbouring probabilities: thresholds that part them in every way but one."""
    levels = np.unique(positive)
    return np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2])


def _rates(positive: Floats, labels: Ints, thresholds: Floats) -> tuple[Floats, Floats]:
    """Sensitivity and specificity at each threshold."""
    said = positive[None] >= thresholds[:, None]
    return said[:, labels == 1].mean(axis=1), (~said[:, labels == 0]).mean(axis=1)
