"""Shards that several processes want at once."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np

from distill.shards import Shard, mapped


def test_the_second_waits_and_takes_what_the_first_has_made(tmp_path: Path) -> None:
    made: list[int] = []
    both = threading.Barrier(2)
    found: list[np.ndarray] = []

    def make(piece: int) -> Shard:
        made.append(piece)
        time.sleep(0.05)
        return Shard({"rows": np.full((2, 3), piece)}, [str(piece)])

    def want() -> None:
        both.wait()
        found.append(mapped(tmp_path / "key", [4, 5, 6], make, "rows")["rows"])

    threads = [
        threading.Thread(target=want) for _ in range(2)
    ]  # a lock is held by an open file: these are two
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [4, 5, 6]
    for rows in found:
        assert np.array_equal(rows, np.repeat([4, 5, 6], 2)[:, None] * np.ones((1, 3), dtype=int))
