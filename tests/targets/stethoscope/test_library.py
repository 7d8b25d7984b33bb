"""The library's calls: streams, results, and heads that a device has learned."""

from __future__ import annotations

import ctypes
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from acula_edge.artifact import Artifact
from acula_edge.data.metrics import logit_slices, probabilities
from acula_edge.evidence.decisions import Decision, Decisions, Rule
from tests.recordings import needs_recordings
from tests.targets.stethoscope.heads import HEADER_BYTES, learned_head, with_word
from tests.targets.stethoscope.host import Library, Model, compile_host

OK, WAIT, BAD_HEAD, FOREIGN_HEAD = 0, 1, 4, 5
RECORDS = 36  # bytes of the payload before the first layer


@pytest.fixture(scope="module")
def learned(bundle: Artifact, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path]:
    """A head.bin, and the .tflite with the same layers."""
    path = tmp_path_factory.mktemp("learned") / "model.tflite"
    return learned_head(bundle, path), path


def test_two_streams_in_turns_give_what_each_gives_alone(usual: Model, shared: Path) -> None:
    one, other = Library(usual, shared), Library(usual, shared)
    for start in range(0, usual.contract.clip_samples, 1000):
        assert one.push(usual.pcm[0, start : start + 1000]) == 1000
        assert other.push(usual.pcm[1, start : start + 1000]) == 1000
    for library, index in ((one, 0), (other, 1)):
        assert library.poll() == OK
        assert library.poll() == WAIT
        rest = library.answer(usual.pcm[index])  # the next clip starts anew
        np.testing.assert_array_equal(rest[1], usual.answers.logits[index])


def test_a_long_stream_is_cut_at_whole_clips(usual: Model, library: Library) -> None:
    stream, heard, found = usual.pcm[:3].ravel(), 0, []
    while heard < stream.size:
        heard += library.push(stream[heard : heard + 5000])
        if library.poll() == OK:
            found.append(library.logits)
    np.testing.assert_array_equal(found, usual.answers.logits[:3])


def test_what_is_pushed_while_a_clip_waits_is_not_taken(usual: Model, library: Library) -> None:
    assert library.push(np.concatenate([usual.pcm[0], usual.pcm[1]])) == usual.contract.clip_samples
    assert library.push(usual.pcm[1]) == 0
    assert library.poll() == OK
    embedding, logits = library.answer(usual.pcm[2])
    np.testing.assert_array_equal(logits, usual.answers.logits[2])
    np.testing.assert_array_equal(embedding, usual.answers.embedding[2])


def test_probabilities_are_the_calibrated_ones(usual: Model, library: Library) -> None:
    """Those that the frozen decisions are made from, on real clips."""
    grid = usual.firmware.network.logits.grid
    assert len({own.temperature for own in usual.decisions.tasks}) > 2
    for clip, steps in zip(usual.pcm[:6], usual.answers.logits, strict=False):
        library.answer(clip)
        logits = grid.scale * (steps.astype(np.float64) - grid.zero_point)
        np.testing.assert_allclose(library.probabilities, _calibrated(usual, logits), atol=1e-4)


def test_every_step_and_temperature_has_its_probability(usual: Model, tmp_path: Path) -> None:
    """Every distance of a logit from its zero, at temperatures from one end to the other."""
    temperatures = np.geomspace(0.05, 20.0, len(usual.decisions.tasks))
    tasks = tuple(
        own.model_copy(update={"temperature": float(temperature)})
        for own, temperature in zip(usual.decisions.tasks, temperatures, strict=True)
    )
    model = replace(usual, decisions=Decisions(tasks=tasks))
    code = ctypes.CDLL(
        str(compile_host(model.write(tmp_path), "gcc", tmp_path / "lib.so", "-shared", "-fPIC", tests=False))
    )
    grid, count = model.firmware.network.logits.grid, model.labels.n_logits
    rng = np.random.default_rng(0)
    for step in range(-128, 128):
        steps = (
            rng.permuted(np.full(count, step) + rng.integers(-3, 4, count)).clip(-128, 127).astype(np.int8)
        )
        found = np.zeros(count, np.uint16)
        code.acula_probabilities(ctypes.c_void_p(steps.ctypes.data), ctypes.c_void_p(found.ctypes.data))
        expected = _calibrated(model, grid.scale * (steps.astype(np.float64) - grid.zero_point))
        np.testing.assert_allclose(found / 32768.0, expected, atol=1e-4)


@needs_recordings
def test_decisions_are_those_of_the_rules(usual: Model, library: Library) -> None:
    """Every step of every logit, and means over clips."""
    grid, tasks = usual.firmware.network.logits.grid, usual.labels.tasks
    numbers = {Decision.NEGATIVE: 0, Decision.POSITIVE: 1, Decision.ABSTAIN: 2}
    seen = set()
    for own, (start, rule) in zip(usual.decisions.tasks, _rules(usual), strict=True):
        for step in range(-128, 128):
            logit = grid.scale * (step - grid.zero_point) / own.temperature
            expected = numbers[rule.decide(1 / (1 + math.exp(-logit)))] if rule else 3
            assert library.decide(start, step, 1) == expected
            assert library.decide(start, 7 * step, 7) == expected
            seen.add(expected)
    assert seen == {0, 1, 2, 3}
    assert library.decide(-1, 0, 1) == library.decide(len(tasks) * 100, 0, 1) == library.decide(0, 0, 0) == 3


def test_the_self_test_passes(library: Library) -> None:
    assert library.selftest() == OK


def test_a_learned_head_gives_the_model_that_holds_it(
    usual: Model, library: Library, learned: tuple[bytes, Path]
) -> None:
    head, model = learned
    expected = usual.answers_of(model)
    assert (expected.logits != usual.answers.logits).mean() > 0.3
    assert library.load_head(head) == OK
    for clip, embedding, logits in zip(usual.pcm[:8], expected.embedding, expected.logits, strict=False):
        found = library.answer(clip)
        np.testing.assert_array_equal(found[0], embedding)
        np.testing.assert_array_equal(found[1], logits)
    assert library.selftest() == OK  # starts anew, with the built-in head
    np.testing.assert_array_equal(library.answer(usual.pcm[0])[1], usual.answers.logits[0])


def test_a_signed_head_is_read_too(library: Library, learned: tuple[bytes, Path]) -> None:
    head = bytearray(learned[0])
    head[16:20] = (64).to_bytes(4, "little")
    assert library.load_head(bytes(head) + bytes(64)) == OK


@pytest.mark.parametrize("place", [0, 4, 8, 12, 16, 20, 52, 56, 500, -1])
def test_one_flipped_bit_is_refused_and_changes_nothing(
    place: int, usual: Model, library: Library, learned: tuple[bytes, Path]
) -> None:
    head = bytearray(learned[0])
    head[place] ^= 1
    assert library.load_head(bytes(head)) == BAD_HEAD
    np.testing.assert_array_equal(library.answer(usual.pcm[0])[1], usual.answers.logits[0])


@pytest.mark.parametrize("size", [0, 1, 19, HEADER_BYTES, 55, 1000])
def test_a_head_that_is_cut_is_refused(size: int, library: Library, learned: tuple[bytes, Path]) -> None:
    assert library.load_head(learned[0][:size]) == BAD_HEAD
    assert library.load_head(learned[0] + bytes(4)) == BAD_HEAD


@pytest.mark.parametrize(
    ("word", "value", "status"),
    [
        (0, 3, FOREIGN_HEAD),  # another operator
        (1, 7, FOREIGN_HEAD),  # another shape
        (6, 0x3F800000, FOREIGN_HEAD),  # another input scale
        (9, 5, FOREIGN_HEAD),  # another output zero point
        (11, 100, FOREIGN_HEAD),  # another clamp
        (12, 0xFFFFFFF0, BAD_HEAD),  # weights behind the end
        (12, 1001, BAD_HEAD),  # and not aligned
        (13, 5, BAD_HEAD),  # too few weights
        (21, 1, BAD_HEAD),  # too few multipliers
    ],
)
def test_a_sound_checksum_does_not_make_a_head_fit(
    word: int, value: int, status: int, usual: Model, library: Library, learned: tuple[bytes, Path]
) -> None:
    changed = with_word(learned[0], RECORDS + 4 * word, value)
    assert library.load_head(changed) == status
    np.testing.assert_array_equal(library.answer(usual.pcm[0])[1], usual.answers.logits[0])


def test_a_bias_that_overflows_is_refused(library: Library, learned: tuple[bytes, Path]) -> None:
    record = np.frombuffer(learned[0], "<u4", 24, HEADER_BYTES + RECORDS)
    biases = int(record[16])
    assert library.load_head(with_word(learned[0], biases, 0x7FFFFFFF)) == BAD_HEAD


def _rules(model: Model) -> list[tuple[int, Rule | None]]:
    slices = logit_slices(model.labels.tasks)
    return [(slices[own.task].start, own.rule) for own in model.decisions.tasks]


def _calibrated(model: Model, logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """As `predict` gives them: logits (K,) to the probability that each stands for, (K,)."""
    tasks, slices = model.labels.tasks, logit_slices(model.labels.tasks)
    scaled = model.decisions.calibrated(tasks, logits)
    every = [probabilities(task, scaled[None, slices[task.name]])[0] for task in tasks]
    return np.concatenate(
        [part[1:] if task.n_logits == 1 else part for task, part in zip(tasks, every, strict=True)]
    )
