"""Shapes of students for the tests: random ones, and students that have heard real clips."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st

from acula_edge.contract import AudioContract
from acula_edge.frontend import learn_normalisation, log_mel
from acula_edge.students.config import AttentionBlock, Block, StudentConfig
from acula_edge.students.student import Student
from tests.recordings import some_clips

_BLOCKS = st.builds(
    Block,
    channels=st.sampled_from([3, 6, 8]),
    mel_stride=st.sampled_from([1, 2]),
    frame_stride=st.sampled_from([1, 2]),
    kernel=st.sampled_from([3, 5]),
    expansion=st.sampled_from([None, 1, 3]),
)
_ATTENTION = st.builds(
    AttentionBlock,
    heads=st.sampled_from([1, 3]),
    head_channels=st.sampled_from([2, 5]),
    expansion=st.sampled_from([1, 2]),
)
CONFIGS = st.builds(
    StudentConfig,
    stem_channels=st.sampled_from([3, 6]),
    blocks=st.lists(_BLOCKS, min_size=1, max_size=4).map(tuple),
    top_channels=st.sampled_from([None, 7]),
    embedding_dim=st.integers(1, 9),
    causal=st.booleans(),
)

ATTENDING = st.builds(
    StudentConfig,
    stem_channels=st.sampled_from([3, 6]),
    blocks=st.lists(st.one_of(_BLOCKS, _ATTENTION), min_size=1, max_size=4).map(tuple),
    embedding_dim=st.integers(1, 9),
)


def real_features(n: int) -> torch.Tensor:
    """Features (n, 1, 48, 249) of n different recordings, normalised over all of them."""
    pcm = some_clips(n)
    contract = AudioContract()
    contract = contract.with_normalisation(learn_normalisation([pcm], contract))
    return torch.from_numpy(np.ascontiguousarray(log_mel(pcm, contract)[:, None]))


def heard(config: StudentConfig, features: torch.Tensor, n_logits: int = 20) -> Student:
    """A student whose batch normalisation knows `features`, so that its embeddings tell them apart."""
    torch.manual_seed(0)
    student = Student(config, *features.shape[2:], n_logits).train()
    for layer in student.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # the plain mean over the passes
    with torch.no_grad():
        student(features)
    return student.eval()
