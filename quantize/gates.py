"""Gates: the INT8 files on validation recordings against the bounds of the configuration."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acula_edge.data.metrics import logit_slices
from acula_edge.errors import GateError
from acula_edge.evidence.fidelity import Fidelity, FloatEffect
from acula_edge.evidence.gates import Gate, Gates
from acula_edge.evidence.geometry import cka, neighbour_overlap
from acula_edge.evidence.intervals import Draws, mean_draws, resample, task_draws
from quantize.fidelity import DEPTH, RESAMPLES
from quantize.gates_config import Drop, GatesConfig, Least
from quantize.hearing import FILES, FLOAT, INT8, Floats, Heard

_MEAN, _FILE = "mean", "file"
_INT8_FILES = ("model.pte", "model_pcm.pte", "model.tflite", "model_pcm.tflite")


@dataclass(frozen=True)
class Evidence:
    """What the gates look at: outputs, fidelity, operator tables by file, and the folder of the files."""

    heard: Heard
    fidelity: Fidelity
    ops: Mapping[str, Mapping[str, Any]]
    folder: Path
    seed: int


def judge(config: GatesConfig, evidence: Evidence) -> Gates:
    """Ask every gate of the configuration."""
    asked = (*_scores(config, evidence), *_geometry(config, evidence.heard), *_files(config, evidence))
    return Gates(gates=asked, leave_float=best_layer(evidence.fidelity.float_effects))


def best_layer(effects: tuple[FloatEffect, ...]) -> str | None:
    """The layer that gives back most AUROC or, where none does, most of the embedding's error."""
    by_auroc = max(effects, key=lambda effect: effect.auroc or 0.0, default=None)
    if by_auroc is not None and (by_auroc.auroc or 0.0) > 0:
        return by_auroc.layer
    by_error = max(effects, key=lambda effect: effect.error, default=None)
    return by_error.layer if by_error is not None and by_error.error > 0 else None


def require(found: Gates) -> None:
    """GateError that names each missed gate, its figures, and the mend."""
    if not found.failed:
        return
    parts = "; ".join(_told(gate) for gate in found.failed)
    raise GateError(f"INT8 gates failed: {parts}; {_mend(found)}")


def _mend(found: Gates) -> str:
    if all(gate.scope == _FILE for gate in found.failed):
        names = dict.fromkeys(gate.gate for gate in found.failed)
        bounds = ", ".join(f"quantize.gates.{name}" for name in names)
        return f"choose another scheme or student, or loosen {bounds}"
    mend = "train the student longer, or loosen quantize.gates"
    if found.leave_float:
        return f'leave a layer float: quantize.scheme.float_modules = ["{found.leave_float}"]; or {mend}'
    return mend


def _told(gate: Gate) -> str:
    value = "none" if gate.value is None else f"{gate.value:.4g}"
    return f"{gate.gate} of {gate.file} ({gate.scope}) is {value}, bound {gate.bound:g}"


def _scores(config: GatesConfig, evidence: Evidence) -> Iterator[Gate]:
    heard, cohort = evidence.heard, evidence.heard.cohort
    weights = resample(cohort, RESAMPLES, evidence.seed)
    slices = logit_slices(heard.tasks)

    def draws(system: str) -> dict[str, Draws]:
        logits = heard.logits[system]
        return {
            task.name: task_draws(task, logits[:, slices[task.name]], cohort, weights) for task in heard.tasks
        }

    floating = draws(FLOAT)
    sure = [name for name, found in floating.items() if _sure(found, name, config, heard)]
    for system in INT8:
        integer = draws(system)
        paired = {name: integer[name] - floating[name] for name in sure}
        if sure:
            # The mean is taken over the same tasks on both sides, and then paired.
            before, after = ([found[name] for name in sure] for found in (floating, integer))
            paired[_MEAN] = mean_draws(after) - mean_draws(before)
        for name, bound in _bounds(config.max_auroc_drop, paired):
            yield _gate("max_auroc_drop", FILES[system], name, -paired[name].value, bound, operator.le)
        for name, margin in _bounds(config.non_inferiority_margin, paired):
            lowest = lower_end(paired[name])
            yield _gate("non_inferiority_margin", FILES[system], name, lowest, -margin, operator.gt)


def _sure(found: Draws, name: str, config: GatesConfig, heard: Heard) -> bool:
    """Whether a task has an AUROC with an interval, of enough recordings."""
    return found.estimate().low is not None and heard.cohort.rows(name).size >= config.fewest_recordings


def lower_end(paired: Draws) -> float | None:
    """The lower end of the one-sided 95 % percentile interval; None where there is none."""
    if paired.estimate().low is None:
        return None
    return float(np.percentile(paired.resampled[~np.isnan(paired.resampled)], 5))


def _geometry(config: GatesConfig, heard: Heard) -> Iterator[Gate]:
    rows = {_MEAN: np.arange(len(heard.recordings))}
    rows |= {task.name: heard.cohort.rows(task.name) for task in heard.tasks}
    enough = {
        name: own for name, own in rows.items() if name == _MEAN or own.size >= config.fewest_recordings
    }
    measures: tuple[tuple[str, Least, Callable[[Floats, Floats], float]], ...] = (
        ("min_embedding_cka", config.min_embedding_cka, cka),
        ("min_neighbour_overlap", config.min_neighbour_overlap, lambda x, y: neighbour_overlap(x, y, DEPTH)),
    )
    for gate, least, measure in measures:
        for system in INT8:
            for name, bound in _bounds(least, enough):
                one, other = (heard.embedding[which][enough[name]] for which in (FLOAT, system))
                yield _gate(gate, FILES[system], name, measure(one, other), bound, operator.ge)


def _files(config: GatesConfig, evidence: Evidence) -> Iterator[Gate]:
    for file in _INT8_FILES:
        left = sum(evidence.ops[file]["undelegated"].values()) if file in evidence.ops else None
        if config.max_undelegated_ops is not None:
            yield _gate("max_undelegated_ops", file, _FILE, left, config.max_undelegated_ops, operator.le)
        if config.max_size_bytes is not None:
            size = (evidence.folder / file).stat().st_size
            yield _gate("max_size_bytes", file, _FILE, size, config.max_size_bytes, operator.le)


def _bounds(asked: Drop | Least, scopes: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    """Each scope with its bound, where it has one."""
    for name in scopes:
        bound = asked.mean if name == _MEAN else asked.task
        if bound is not None:
            yield name, bound


def _gate(
    gate: str, file: str, scope: str, value: float | None, bound: float, holds: Callable[[Any, Any], bool]
) -> Gate:
    passed = value is None or bool(holds(value, bound))
    return Gate(gate=gate, file=file, scope=scope, value=value, bound=bound, passed=passed)
