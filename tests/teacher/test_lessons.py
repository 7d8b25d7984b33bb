"""What stands on the text side: the reports, and the controls."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acula_edge.teacher.align import AlignmentModel, align
from acula_edge.teacher.config import Alignment, Lesson
from acula_edge.teacher.lessons import Told, shuffled, teach, words
from tests.teacher.tiny import tiny_config, tiny_encoder, tone_pairs

REPORTS = [
    ("Crackles in a 5-year-old.", "A 5-year-old with crackles."),
    ("Wheeze, left lung.", "Left lung: wheeze."),
    ("Crackles, left lung.", "Left lung: crackles."),
    ("Normal.", "Normal, nothing at all."),
    ("Unheard.", "Unheard."),
]


def _told(unpaired: int = 1) -> Told:
    pairs = replace(tone_pairs(5, 0, forms=2, unpaired=unpaired), sources=tuple("aabba"))
    return Told(pairs, REPORTS)


def _val() -> Told:
    return Told(tone_pairs(2, 1, forms=2), [("A new word, wheeze.", "Wheeze."), ("Crackles.", "Crackles.")])


def test_reports_are_left_alone() -> None:
    train, val = teach(Lesson.REPORTS, _told(), _val(), 0)
    assert train is not None
    assert np.array_equal(train.texts, _told().pairs.texts)
    assert np.array_equal(val.texts, _val().pairs.texts)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), min_size=1, max_size=60), st.integers(0, 99))
def test_shuffling_keeps_reports_in_their_data_set_and_on_paired_rows(
    rows: list[tuple[str, bool]], seed: int
) -> None:
    n = len(rows)
    texts = np.arange(2 * n, dtype=np.float32).reshape(n, 2, 1)
    paired = np.array([told for _, told in rows])
    plain = replace(tone_pairs(n, 0), texts=texts, paired=paired, sources=tuple(name for name, _ in rows))
    mixed = shuffled(plain, seed)
    for source in "ab":
        where = [index for index, row in enumerate(rows) if row == (source, True)]
        assert Counter(mixed.texts[where, 0, 0]) == Counter(texts[where, 0, 0])
    assert np.array_equal(mixed.texts[~paired], texts[~paired])
    assert np.array_equal(mixed.texts[:, 1] - mixed.texts[:, 0], texts[:, 1] - texts[:, 0])  # wordings stay
    assert mixed.inputs is plain.inputs


def test_shuffling_does_move_reports() -> None:
    plain = tone_pairs(40, 0)
    same = (shuffled(plain, 0).texts == plain.texts).all(axis=(1, 2))
    assert same.sum() < 5


def test_constant_report_is_one_for_all() -> None:
    train, val = teach(Lesson.CONSTANT, _told(), _val(), 0)
    assert len(np.unique(np.concatenate([train.texts, val.texts]).reshape(-1, 8), axis=0)) == 1
    assert len(train.texts) == 5
    assert np.array_equal(train.paired, _told().pairs.paired)


def test_bag_holds_the_words_that_two_training_reports_share() -> None:
    train, val = teach(Lesson.BAG_OF_WORDS, _told(), _val(), 0)
    vocabulary = ["crackles", "left", "lung"]  # wheeze, 5-year-old... stand in one recording alone
    assert train.texts.shape == (5, 2, len(vocabulary))
    hot = np.array([[1, 0, 0], [0, 1, 1], [1, 1, 1], [0, 0, 0], [0, 0, 0]], dtype=np.float32)
    mean = hot[:4].mean(axis=0)  # the last one has no report
    assert np.allclose(train.texts[:, 0], hot - mean)
    assert np.allclose(train.texts[:, 1], hot - mean)
    assert np.allclose(val.texts[:, 0], np.array([[0, 0, 0], [1, 0, 0]]) - mean)


def test_validation_words_do_not_enter_the_vocabulary() -> None:
    many = Told(_val().pairs, [("new new-word", "new"), ("new new-word", "new")])
    train, val = teach(Lesson.BAG_OF_WORDS, _told(), many, 0)
    assert train.texts.shape[-1] == val.texts.shape[-1] == 3


def test_ssl_only_pairs_nobody() -> None:
    train, val = teach(Lesson.SSL_ONLY, _told(), _val(), 0)
    assert not train.paired.any()
    assert not val.paired.any()


def test_words_keep_numbers_and_hyphens_whole() -> None:
    assert words("A 5-year-old's FEV1/FVC is 0.7; wheeze.") == [
        "a", "5-year-old", "s", "fev1", "fvc", "is", "0.7", "wheeze",
    ]  # fmt: skip


@pytest.mark.parametrize("lesson", list(Lesson))
@pytest.mark.parametrize("alignment", [Alignment.CKA, Alignment.CKA_UNBIASED, Alignment.SIGLIP])
def test_every_lesson_trains_with_finite_losses(lesson: Lesson, alignment: Alignment, tmp_path: Path) -> None:
    reports = [(f"tone {index % 3}", f"tone {index % 3}") for index in range(24)]
    told = [Told(tone_pairs(24, seed, forms=2), reports) for seed in (0, 1)]
    train, val = teach(lesson, told[0], told[1], 0)
    config = tiny_config(epochs=2, alignment=alignment, dropout=0.2, teaches=lesson)
    model = AlignmentModel(tiny_encoder(), train.texts.shape[-1], config)
    history = align(model, train, val, config, tmp_path, "a")
    assert all(np.isfinite([record.loss, record.score]).all() for record in history)
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values())
