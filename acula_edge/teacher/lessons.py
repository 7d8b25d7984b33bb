"""Lessons: what stands on the text side of the alignment; all but the reports are controls.

If an encoder learns as much from a control as from the reports, then it did not learn from them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from acula_edge.teacher.config import Lesson
from acula_edge.teacher.pairs import Pairs

Reports = Sequence[Sequence[str]]  # one or more wordings for each recording
_WORD = re.compile(r"[^\W_]+(?:[.-][^\W_]+)*")


@dataclass(frozen=True)
class Told:
    """Pairs and the words that their text embeddings were made of, row by row."""

    pairs: Pairs
    reports: Reports


def teach(lesson: Lesson, train: Told, val: Told, seed: int) -> tuple[Pairs, Pairs]:
    """The training and validation pairs of `lesson`; only the training reports decide what it holds.

    - reports: the pairs as they are.
    - shuffled: each recording gets the report of another one of its own data set.
    - constant: one report for all. It tells no recording from another: CKA and its kin are 1 on it and
      send back nothing but what the text head's dropout makes of it, so that the self-supervised loss is
      left; InfoNCE and SigLIP pull all recordings to one place.
    - bag_of_words: which words a report holds, centred, instead of what a language model makes of them.
    - ssl_only: no recording has a report.
    """
    return _LESSONS[lesson](train, val, seed)


def _reports(train: Told, val: Told, _seed: int) -> tuple[Pairs, Pairs]:
    return train.pairs, val.pairs


def _shuffled(train: Told, val: Told, seed: int) -> tuple[Pairs, Pairs]:
    return shuffled(train.pairs, seed), shuffled(val.pairs, seed)


def shuffled(pairs: Pairs, seed: int) -> Pairs:
    """The same reports, each given to a recording of the same data set that has one too."""
    order = np.arange(len(pairs.sources))
    rng = np.random.default_rng(seed)
    sources = np.array(pairs.sources)
    for source in sorted(set(pairs.sources)):
        where = np.flatnonzero((sources == source) & pairs.paired)
        order[where] = rng.permutation(where)
    return replace(pairs, texts=pairs.texts[order])


def _constant(train: Told, val: Told, _seed: int) -> tuple[Pairs, Pairs]:
    one = train.pairs.texts[int(train.pairs.paired.argmax()), :1]

    def same(pairs: Pairs) -> Pairs:
        return replace(pairs, texts=np.repeat(one[None], len(pairs.sources), axis=0))

    return same(train.pairs), same(val.pairs)


def _bag_of_words(train: Told, val: Told, _seed: int) -> tuple[Pairs, Pairs]:
    known = [forms for forms, paired in zip(train.reports, train.pairs.paired, strict=True) if paired]
    counts = Counter(word for forms in known for word in set(words(" ".join(forms))))
    vocabulary = sorted(word for word, count in counts.items() if count > 1)  # one alone teaches a name
    bags = [_multi_hot(told.reports, vocabulary) for told in (train, val)]
    mean = bags[0][train.pairs.paired].mean(axis=(0, 1)) if known else 0.0
    texts = [np.asarray(bag - mean, dtype=np.float32) for bag in bags]
    return replace(train.pairs, texts=texts[0]), replace(val.pairs, texts=texts[1])


def words(report: str) -> list[str]:
    """The words of a report in lower case; a number or a hyphenated word is one."""
    return _WORD.findall(report.lower())


def _multi_hot(reports: Reports, vocabulary: list[str]) -> NDArray[np.float32]:
    """(n, forms, words): 1 where a wording holds the word."""
    column = {word: index for index, word in enumerate(vocabulary)}
    bag = np.zeros((len(reports), len(reports[0]), len(vocabulary)), dtype=np.float32)
    for row, forms in enumerate(reports):
        for form, report in enumerate(forms):
            bag[row, form, [column[word] for word in words(report) if word in column]] = 1.0
    return bag


def unpaired(pairs: Pairs) -> Pairs:
    """The same recordings without their reports."""
    return replace(pairs, paired=np.zeros_like(pairs.paired))


def _ssl_only(train: Told, val: Told, _seed: int) -> tuple[Pairs, Pairs]:
    return unpaired(train.pairs), unpaired(val.pairs)


_LESSONS: dict[Lesson, Callable[[Told, Told, int], tuple[Pairs, Pairs]]] = {
    Lesson.REPORTS: _reports,
    Lesson.SHUFFLED: _shuffled,
    Lesson.CONSTANT: _constant,
    Lesson.BAG_OF_WORDS: _bag_of_words,
    Lesson.SSL_ONLY: _ssl_only,
}
