"""Measures: geometry, retrieval, slices and age, each with intervals over patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from acula_edge.data.recording import Recording
from acula_edge.data.reports.facts import parse_age
from acula_edge.data.tasks import Task
from acula_edge.encoders.teacher_model import Variant
from acula_edge.evaluation.config import EvaluationConfig
from acula_edge.evaluation.contest import TITLES, panel
from acula_edge.evaluation.embeddings import Embeddings, Rows
from acula_edge.evaluation.regression import leave_one_out
from acula_edge.evaluation.results import AgeError, Found, Search, Shape, SliceScores
from acula_edge.evaluation.slices import slices_of
from acula_edge.evidence.accuracy import Logits, evaluate
from acula_edge.evidence.cohort import Cohort, Member
from acula_edge.evidence.geometry import cka, effective_rank, mean_cosine
from acula_edge.evidence.intervals import Draws, resample
from acula_edge.evidence.jackknife import jackknife
from acula_edge.evidence.results import Estimate
from acula_edge.evidence.retrieval import DEPTHS, Direction, retrieval

Floats = NDArray[np.float32]

_FEWEST_PATIENTS = 3
_DIRECTIONS = ("recording to report", "report to recording")
_CONTROL = Variant.SHUFFLED
_FIGURES = (*(f"R@{depth}" for depth in DEPTHS), "median rank")


def units_of(recordings: Sequence[Recording]) -> list[str]:
    """What a bootstrap or a jackknife draws: the patient of each recording, or itself."""
    return [f"{found.dataset}/{found.unit}" for found in map(Member.of_recording, recordings)]


def shapes(scored: Embeddings, seed: int) -> tuple[Shape, ...]:
    """Of each variant, over the recordings that are scored."""
    return tuple(_shape(name, scored, seed) for name in scored.audio)


def _shape(name: str, scored: Embeddings, seed: int) -> Shape:
    own, base, texts = scored.audio[name], scored.audio[Variant.BASE], scored.texts
    told: NDArray[np.bool_] = np.asarray(texts.any(axis=1))

    def figures(rows: Rows) -> NDArray[np.float64]:
        with_report = rows[told[rows]]
        resembles = cka(own[with_report], texts[with_report]) if told.any() else 0.0
        return np.array(
            [effective_rank(own[rows]), mean_cosine(own[rows]), cka(own[rows], base[rows]), resembles]
        )

    rank, cosine, cka_base, cka_reports = jackknife(figures, units_of(scored.recordings), seed)
    return Shape(
        system=name,
        title=TITLES[name],
        effective_rank=rank,
        mean_cosine=cosine,
        cka_base=cka_base,
        cka_reports=cka_reports if told.any() else None,
    )


def searches(
    projected: Mapping[str, tuple[Floats, Floats]], recordings: Sequence[Recording], seed: int
) -> tuple[Search, ...]:
    """Retrieval both ways between projected recordings (n, d) and their reports (n, d), by each encoder."""
    reports = [recording.report for recording in recordings]

    def search(name: str, rows: Rows) -> tuple[Direction, Direction]:
        audio, texts = projected[name]
        found = retrieval(audio[rows], texts[rows], [reports[row] for row in rows])
        return found.audio_to_report, found.report_to_audio

    def figures(rows: Rows) -> NDArray[np.float64]:
        each = np.array(
            [[[*way.recall.values(), way.median_rank] for way in search(name, rows)] for name in projected]
        )
        return np.stack([each, each - each[names.index(_CONTROL)]]).ravel()

    names, whole = list(projected), np.arange(len(reports))
    estimates = np.array(jackknife(figures, units_of(recordings), seed), dtype=object)
    values, gains = estimates.reshape(2, len(names), len(_DIRECTIONS), len(_FIGURES))
    return tuple(
        Search(
            system=name,
            direction=direction,
            candidates=way.candidates,
            figures=_figures(way, values[i, j], gains[i, j]),
        )
        for i, name in enumerate(names)
        for j, (direction, way) in enumerate(zip(_DIRECTIONS, search(name, whole), strict=True))
    )


def _figures(way: Direction, values: Sequence[Estimate], gains: Sequence[Estimate]) -> tuple[Found, ...]:
    chance = (*way.chance_recall.values(), way.chance_median_rank)
    rows = zip(_FIGURES, values, chance, gains, strict=True)
    return tuple(Found(name=name, value=value, chance=guess, gain=gain) for name, value, guess, gain in rows)


def slice_scores(
    tasks: Sequence[Task], recordings: Sequence[Recording], logits: Logits, config: EvaluationConfig
) -> tuple[SliceScores, ...]:
    """The mean AUROC of each variant on parts of the recordings; `logits` have a row for each of them."""
    return tuple(
        _slice(name, tasks, [recordings[row] for row in rows], _rows(logits, rows), config)
        for name, rows in slices_of(recordings).items()
    )


def _rows(logits: Logits, rows: NDArray[np.intp]) -> Logits:
    return {name: found[..., rows, :] for name, found in logits.items()}


def _slice(
    name: str,
    tasks: Sequence[Task],
    recordings: Sequence[Recording],
    logits: Logits,
    config: EvaluationConfig,
) -> SliceScores:
    cohort = Cohort(tuple(map(Member.of_recording, recordings)))
    found = evaluate(tasks, cohort, logits, panel(""), config.bootstrap_resamples, config.seed)
    gain = found.difference(Variant.ALIGNED, Variant.BASE)
    scored = found.systems[0].tasks
    return SliceScores(
        name=name,
        recordings=len(recordings),
        patients=len(set(units_of(recordings))),
        tasks=tuple(task for task, estimate in scored.items() if estimate.value is not None),
        systems={system.system: system.mean for system in found.systems},
        gain=gain.mean if gain else None,
    )


def age_errors(scored: Embeddings, config: EvaluationConfig) -> tuple[AgeError, ...]:
    """For each data set with enough recordings, and at least three patients, that name an age."""
    found = []
    for dataset in dict.fromkeys(recording.dataset for recording in scored.recordings):
        aged = {
            row: age.years
            for row, recording in enumerate(scored.recordings)
            if recording.dataset == dataset and (age := parse_age(recording.metadata.get("age", "")))
        }
        own = scored.part(np.array(list(aged), dtype=np.int64))
        enough = len(aged) >= config.fewest_ages and len(set(units_of(own.recordings))) >= _FEWEST_PATIENTS
        if enough:
            found.append(_age_error(dataset, own, np.array(list(aged.values())), config))
    return tuple(found)


def _age_error(
    dataset: str, aged: Embeddings, years: NDArray[np.float64], config: EvaluationConfig
) -> AgeError:
    units = units_of(aged.recordings)
    strengths = config.ridge_strengths
    fitted = {name: leave_one_out(x, years, units, strengths) for name, x in aged.audio.items()}
    cohort = Cohort(tuple(map(Member.of_recording, aged.recordings)))
    weights = resample(cohort, config.bootstrap_resamples, config.seed)
    draws = {
        name: _mean_draws(np.abs(score.predictions - years), weights, len(set(units)))
        for name, score in fitted.items()
    }
    return AgeError(
        dataset=dataset,
        recordings=len(units),
        patients=len(set(units)),
        mean_guess=next(iter(fitted.values())).baseline_mae,
        systems={name: found.estimate() for name, found in draws.items()},
        gain=(draws[Variant.ALIGNED] - draws[Variant.BASE]).estimate(),
    )


def _mean_draws(errors: NDArray[np.float64], weights: NDArray[np.int64], patients: int) -> Draws:
    """The mean of (n,) errors, and in each resample (b, n)."""
    return Draws(float(errors.mean()), weights @ errors / weights.sum(axis=1), patients)
