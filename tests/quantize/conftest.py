"""The small student of the tests as a PT2E graph, and real clips to walk it with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.spread import spread_clips
from acula_edge.frontend import log_mel
from acula_edge.runtime.divert import divert_output
from acula_edge.students.store import load_student
from acula_edge.students.student import Student

CLIPS = 12


@dataclass(frozen=True)
class Graph:
    """A student, its INT8 graph, and features (n, 1, n_mels, n_frames) of validation clips."""

    student: Student
    quantised: GraphModule
    features: Tensor


@pytest.fixture(scope="session")
def graph(mini_quantized: Artifact, mini_dataset: Artifact) -> Graph:
    """Quantised as the stage does it, on fewer clips."""
    from quantize.executorch import quantise

    dataset = Dataset.open(mini_dataset)
    train, val = (
        torch.from_numpy(
            np.ascontiguousarray(log_mel(spread_clips(dataset, split, 24, 0).pcm, dataset.contract)[:, None])
        )
        for split in (Split.TRAIN, Split.VAL)
    )
    student = load_student(mini_quantized)
    with divert_output():
        return Graph(student, quantise(student, train), val[:CLIPS].contiguous())
