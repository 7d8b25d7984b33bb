"""Rules: frozen decisions as limits on INT8 logits, so that the firmware decides in integers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from acula_edge.data.metrics import logit_slices
from acula_edge.evidence.decisions import Decisions, Rule
from targets.facts import Labels
from targets.stethoscope.network import Grid

PARTS = 256  # of a step, as in c/acula_decisions.h
_NEVER = 2**24  # beyond every step


@dataclass(frozen=True)
class Limits:
    """Of one logit, in parts of a step: abstain from `abstain_from` to `abstain_to`, both included; elsewhere
    positive from `positive_from` on."""

    abstain_from: int
    abstain_to: int
    positive_from: int


def limits_of(decisions: Decisions, labels: Labels, grid: Grid) -> dict[int, Limits]:
    """Limits by logit, for each task that has a rule. Whole steps are decided exactly as by the rule."""
    slices = logit_slices(labels.tasks)
    return {
        slices[own.task].start: _limits(own.rule, own.temperature, grid)
        for own in decisions.tasks
        if own.rule is not None
    }


def rules_c(limits: dict[int, Limits], n_logits: int) -> str:
    """acula_rules.c."""
    rows = "".join(
        f"    {{true, {found.abstain_from}, {found.abstain_to}, {found.positive_from}}},\n"
        if (found := limits.get(logit))
        else "    {false, 0, 0, 0},\n"
        for logit in range(n_logits)
    )
    return f'#include "acula_decisions.h"\n\nconst acula_rule_t acula_rules[ACULA_N_LOGITS] = {{\n{rows}}};\n'


def _limits(rule: Rule, temperature: float, grid: Grid) -> Limits:
    return Limits(
        abstain_from=math.ceil(_parts(rule.abstain_from, temperature, grid)),
        abstain_to=math.floor(_parts(rule.abstain_to, temperature, grid)),
        positive_from=math.ceil(_parts(rule.threshold, temperature, grid)),
    )


def _parts(probability: float, temperature: float, grid: Grid) -> float:
    """The logit with this calibrated probability, in parts of a step."""
    if not 0.0 < probability < 1.0:
        return -_NEVER if probability <= 0.0 else _NEVER
    logit = temperature * math.log(probability / (1.0 - probability))
    return min(max(PARTS * (logit / grid.scale + grid.zero_point), -_NEVER), _NEVER)
