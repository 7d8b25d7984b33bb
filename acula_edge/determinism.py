"""Determinism: the same training gives the same bits on the same machine."""

from __future__ import annotations

import os

import torch


def be_deterministic() -> None:
    """Let torch take deterministic kernels in full float32 only, and raise where there is none."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else cuBLAS is not deterministic
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.allow_tf32 = False  # convolutions would else round to 10 bits where nobody asked
    # Every kernel writes what it returns; to fill memory before that takes a fifth of a step on a CPU.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
