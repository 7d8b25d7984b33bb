"""Several processes do what one does: the same loss, gradients and weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from acula_edge.teacher.distributed import Processes
from tests.teacher.worker import everything


@given(st.integers(1, 100), st.integers(1, 9))
def test_shares_cover_a_batch_and_differ_by_at_most_one(n: int, count: int) -> None:
    shares = [range(n)[Processes(rank, count, torch.device("cpu")).share(n)] for rank in range(count)]
    if n >= count:
        assert [row for share in shares for row in share] == list(range(n))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
    else:
        assert all(len(share) == 1 for share in shares)  # one that has none takes one for nothing


@pytest.mark.parametrize("count", [2, 3])  # of three, one has no row of a batch of two
def test_processes_agree_with_one(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # as for the processes
    torchrun = ["torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command = [sys.executable, "-m", *torchrun, "-m", "tests.teacher.worker", str(tmp_path)]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MASTER_")}
    environment = {**plain, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("loss") == 3, done.stderr  # one process speaks
    found, expected = load_file(tmp_path / "found.safetensors"), everything(tmp_path / "alone")
    assert found.keys() == expected.keys()
    assert any("learned.log_scale" in name for name in expected)
    for name, value in expected.items():
        error = (found[name] - value).norm()
        assert error <= 1e-7 * value.norm() + 1e-12, f"{name}: {error} of {value.norm()}"
