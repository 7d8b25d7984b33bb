"""Geometry, retrieval, slices and ages of encoders whose answers are known by construction."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from acula_edge.data.recording import Recording, Split
from acula_edge.data.tasks import KNOWN_TASKS
from acula_edge.encoders.teacher_model import Variant
from acula_edge.evaluation.config import EvaluationConfig
from acula_edge.evaluation.embeddings import Embeddings
from acula_edge.evaluation.measures import age_errors, searches, shapes, slice_scores

Floats = NDArray[np.float32]

CONFIG = EvaluationConfig(bootstrap_resamples=100)
SPR, KAUH = KNOWN_TASKS[0], KNOWN_TASKS[2]
N = 60


def recording(index: int, dataset: str = "kauh", age: str = "", **labels: int) -> Recording:
    """Two recordings for each patient, each with a report of its own."""
    return Recording(
        id=f"{dataset}/{index}",
        path=f"{index}.wav",
        dataset=dataset,
        patient=f"{dataset}-{index // 2}",
        group=f"{dataset}-{index // 2}",
        split=Split.VAL,
        sample_rate_hz=4000,
        start=0,
        n_samples=4000,
        sha256="",
        reports=(f"Report {index}.",),
        labels=labels,
        metadata={"age": age},
    )


def drawn(seed: int, dim: int = 8) -> Floats:
    return np.random.default_rng(seed).normal(size=(N, dim)).astype(np.float32)


def test_age_error_is_that_of_the_encoder_that_hears_age() -> None:
    years = np.random.default_rng(0).integers(20, 80, N).astype(np.float64).repeat(2)[:N]
    people = [recording(i, age=f"{years[i]:g}") for i in range(N)]
    hears = drawn(1)
    hears[:, 0] = years / 5
    audio = {Variant.BASE: drawn(2), Variant.ALIGNED: hears}
    (found,) = age_errors(Embeddings(people, audio, drawn(3)), CONFIG)
    assert (found.dataset, found.recordings, found.patients) == ("kauh", N, N // 2)
    errors = {name: estimate.value for name, estimate in found.systems.items()}
    assert errors[Variant.ALIGNED] < 3 < found.mean_guess * 0.8 < errors[Variant.BASE]
    assert found.gain.value == pytest.approx(errors[Variant.ALIGNED] - errors[Variant.BASE])
    assert found.gain.high is not None
    assert found.gain.high < 0


def test_ages_of_few_recordings_or_patients_are_not_fitted() -> None:
    few = [recording(i, age="40" if i < CONFIG.fewest_ages - 1 else "") for i in range(N)]
    audio = {Variant.BASE: drawn(0), Variant.ALIGNED: drawn(1)}
    assert age_errors(Embeddings(few, audio, drawn(2)), CONFIG) == ()
    two_patients = [recording(i % 4, age="40") for i in range(N)]
    assert age_errors(Embeddings(two_patients, audio, drawn(2)), CONFIG) == ()


def test_retrieval_of_an_encoder_that_knows_each_report() -> None:
    texts = drawn(0)
    projected = {Variant.ALIGNED: (texts, texts), Variant.SHUFFLED: (drawn(1), texts)}
    found = {
        (one.system, one.direction): one for one in searches(projected, [recording(i) for i in range(N)], 0)
    }
    assert len(found) == 4
    for direction in ("recording to report", "report to recording"):
        knows = {one.name: one for one in found[Variant.ALIGNED, direction].figures}
        guesses = {one.name: one for one in found[Variant.SHUFFLED, direction].figures}
        assert found[Variant.ALIGNED, direction].candidates == N
        assert knows["R@1"].value.value == 1
        assert knows["R@1"].value.low == 1
        assert knows["median rank"].value.value == 1
        assert knows["R@10"].chance == pytest.approx(10 / N)
        for name, one in knows.items():
            assert one.gain.value == pytest.approx(one.value.value - guesses[name].value.value)
            assert guesses[name].gain.value == 0
        assert knows["R@1"].gain.low > 0


def test_shapes_show_a_collapse_and_whom_an_encoder_resembles() -> None:
    people, texts = [recording(i) for i in range(N)], drawn(0)
    collapsed = np.ones((N, 8), dtype=np.float32) + 1e-3 * drawn(1)
    audio = {Variant.BASE: drawn(2), Variant.ALIGNED: 3 * texts, Variant.SSL_ONLY: collapsed}
    found = {shape.system: shape for shape in shapes(Embeddings(people, audio, texts), seed=0)}
    assert found[Variant.ALIGNED].cka_reports.value == pytest.approx(1)
    assert found[Variant.BASE].cka_reports.high < 0.5
    assert found[Variant.SSL_ONLY].effective_rank.high < 1.5 < 5 < found[Variant.BASE].effective_rank.low
    assert found[Variant.SSL_ONLY].mean_cosine.value > 0.99
    silent = shapes(Embeddings(people, audio, np.zeros_like(texts)), seed=0)
    assert all(shape.cka_reports is None for shape in silent)


def test_slices_tell_whom_alignment_serves() -> None:
    """Aligned knows all of one data set and nothing of the other; base the other way round."""
    people = [recording(i, "sprsound", **{SPR.name: i // 2 % 2}) for i in range(30)]
    people += [recording(i, "kauh", **{KAUH.name: i // 2 % 2}) for i in range(30)]
    labels = np.array([[i // 2 % 2] for i in range(30)], dtype=np.float64)
    knows, inverts = np.vstack([labels, 1 - labels]), np.vstack([1 - labels, labels])
    logits = {
        Variant.ALIGNED: np.repeat(knows, 2, axis=1)[None],  # one run
        Variant.BASE: np.repeat(inverts, 2, axis=1)[None],
    }
    found = {part.name: part for part in slice_scores([SPR, KAUH], people, logits, CONFIG)}
    spr, kauh = found["dataset=sprsound"], found["dataset=kauh"]
    assert (spr.recordings, spr.patients, spr.tasks) == (30, 15, (SPR.name,))
    assert (spr.gain.value, kauh.gain.value) == (1.0, -1.0)
    assert (kauh.systems[Variant.ALIGNED].value, kauh.systems[Variant.BASE].value) == (0.0, 1.0)
