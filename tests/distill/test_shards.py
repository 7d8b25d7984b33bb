"""Shards that several processes want at once, and those that nobody has wanted for long."""

from __future__ import annotations

import fcntl
import shutil
import threading
import time
from pathlib import Path

import numpy as np

from distill.shards import Shard, mapped, prune


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


def _one(value: int) -> Shard:
    return Shard({"rows": np.full((2, 3), value)}, [str(value)])


def test_what_was_not_asked_for_longest_goes(tmp_path: Path) -> None:
    for key in ("a", "b", "c"):
        mapped(tmp_path / key, [1], _one, "rows")
    in_use = mapped(tmp_path / "b", [1], _one, "rows")["rows"]
    mapped(tmp_path / "a", [1], _one, "rows")
    prune(tmp_path, newest=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    prune(tmp_path, newest=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    prune(tmp_path, newest=1)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert np.array_equal(in_use, np.ones((2, 3)))  # it is mapped still


def test_what_another_process_makes_stays(tmp_path: Path) -> None:
    mapped(tmp_path / "busy", [1], _one, "rows")
    with (tmp_path / "busy" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        prune(tmp_path, newest=0)
        assert (tmp_path / "busy" / "whole").is_dir()
    prune(tmp_path, newest=0)
    assert list(tmp_path.iterdir()) == []


def test_who_waited_for_a_folder_that_went_makes_it_again(tmp_path: Path) -> None:
    """The lock that it gets lies in no folder any more."""
    mapped(tmp_path / "key", [1], _one, "rows")
    found: list[np.ndarray] = []
    lock = (tmp_path / "key" / ".lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    waiting = threading.Thread(
        target=lambda: found.append(mapped(tmp_path / "key", [2], _one, "rows")["rows"])
    )
    waiting.start()
    time.sleep(0.2)
    shutil.rmtree(tmp_path / "key")
    lock.close()
    waiting.join(timeout=10)
    assert np.array_equal(found[0], np.full((2, 3), 2))
    assert (tmp_path / "key" / "whole").is_dir()
