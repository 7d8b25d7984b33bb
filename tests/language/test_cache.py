"""The embedding cache: each text once, and the same bytes after any interruption."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from acula_edge.language.cache import CHUNK_TEXTS, embed_cached


class Counting:
    """Hashes each text together with its batch, so that another batch would show; counts its calls."""

    name = "counting"
    dim = 3

    def __init__(self, fingerprint: str = "a" * 64, dies_at: int | None = None) -> None:
        self.fingerprint = fingerprint
        self.batches: list[tuple[str, ...]] = []
        self._dies_at = dies_at

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if len(self.batches) == self._dies_at:
            raise KeyboardInterrupt
        self.batches.append(tuple(texts))
        rows = [hashlib.sha256(repr((text, *texts)).encode()).digest()[: self.dim] for text in texts]
        return np.array([list(row) for row in rows], dtype=np.float32)


TEXTS = [f"report {number % 200}" for number in range(300)]


def test_a_second_run_does_not_touch_the_model(tmp_path: Path) -> None:
    first, second = Counting(), Counting()
    table = embed_cached(first, TEXTS, tmp_path)
    assert len(first.batches) == -(-200 // CHUNK_TEXTS)
    assert sum(map(len, first.batches)) == 200
    assert np.array_equal(embed_cached(second, TEXTS[::-1], tmp_path), table[::-1])
    assert second.batches == []


def test_a_killed_run_resumes_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    undisturbed = embed_cached(Counting(), TEXTS, tmp_path / "undisturbed")
    killed = Counting(dies_at=2)
    with pytest.raises(KeyboardInterrupt):
        embed_cached(killed, TEXTS, tmp_path / "killed")
    resumed = Counting()
    assert embed_cached(resumed, TEXTS, tmp_path / "killed").tobytes() == undisturbed.tobytes()
    assert not set(killed.batches) & set(resumed.batches)
    assert len(killed.batches) + len(resumed.batches) == -(-200 // CHUNK_TEXTS)


def test_other_weights_share_nothing(tmp_path: Path) -> None:
    embed_cached(Counting(), TEXTS, tmp_path)
    other = Counting(fingerprint="b" * 64)
    embed_cached(other, TEXTS, tmp_path)
    assert sum(map(len, other.batches)) == 200


def test_a_changed_text_recomputes_its_chunk_alone(tmp_path: Path) -> None:
    embed_cached(Counting(), TEXTS, tmp_path)
    again = Counting()
    embed_cached(again, [text.replace("report 99", "report 99!") for text in TEXTS], tmp_path)
    assert len(again.batches) == 1


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"not an array"])
def test_a_damaged_file_is_made_again(tmp_path: Path, content: bytes) -> None:
    table = embed_cached(Counting(), TEXTS, tmp_path)
    next(tmp_path.rglob("*.npy")).write_bytes(content)
    again = Counting()
    assert np.array_equal(embed_cached(again, TEXTS, tmp_path), table)
    assert len(again.batches) == 1


def test_pickled_arrays_are_never_opened(tmp_path: Path) -> None:
    table = embed_cached(Counting(), TEXTS, tmp_path)
    np.save(next(tmp_path.rglob("*.npy")), np.array([object()]), allow_pickle=True)
    assert np.array_equal(embed_cached(Counting(), TEXTS, tmp_path), table)


@given(texts=st.lists(st.text(min_size=1, max_size=4), max_size=200))
def test_rows_follow_the_texts(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("cache")
    table = embed_cached(Counting(), texts, folder)
    assert table.shape == (len(texts), 3)
    assert table.dtype == np.float32
    for text, row in zip(texts, table, strict=True):
        assert np.array_equal(row, table[texts.index(text)])
    assert not list(folder.rglob("*.writing"))
