"""A causal student hop by hop gives what it gives on the whole clip, here and in ExecuTorch; real clips."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from acula_edge.errors import UsageError
from acula_edge.runtime.divert import divert_output
from acula_edge.students.config import StudentConfig
from acula_edge.students.families import FAMILIES
from acula_edge.students.plan import plan_of
from acula_edge.students.streaming import StreamingStudent
from acula_edge.students.student import Student
from tests.students.shapes import CONFIGS, heard, real_features

STREAMING = [name for name, entry in FAMILIES.items() if entry.config.causal]
CLIPS = 4


@pytest.fixture(scope="module")
def features() -> Tensor:
    return real_features(CLIPS)


@pytest.fixture(scope="module", params=STREAMING)
def student(request: pytest.FixtureRequest, features: Tensor) -> Student:
    return heard(FAMILIES[request.param].config, features)


def hops(streaming: StreamingStudent, clip: Tensor) -> list[Tensor]:
    """The whole hops of a clip (1, 1, n_mels, n_frames)."""
    n = streaming.chunk_frames
    return [clip[..., i : i + n].contiguous() for i in range(0, clip.shape[3] - n + 1, n)]


@torch.no_grad()
def run(streaming: StreamingStudent, clip: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Embedding and logits after each hop."""
    found, state = [], streaming.initial_state()
    for hop in hops(streaming, clip):
        embedding, logits, *state = streaming(hop, *state)
        found.append((embedding, logits))
    return found


def test_the_families_that_stream() -> None:
    assert STREAMING == ["tiny-streaming", "base-streaming", "large-streaming"]


def test_every_prefix_equals_the_offline_run_of_it(student: Student, features: Tensor) -> None:
    streaming = StreamingStudent(student)
    for clip in torch.split(features, 1):
        found = run(streaming, clip)
        assert len(found) == clip.shape[3] // streaming.chunk_frames >= 7
        for index, outputs in enumerate(found, start=1):
            with torch.no_grad():
                offline = student(clip[..., : index * streaming.chunk_frames])
            for mine, theirs in zip(outputs, offline, strict=True):
                torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=0)


def test_the_last_hop_equals_the_offline_clip(student: Student, features: Tensor) -> None:
    streaming = StreamingStudent(student)
    found = [run(streaming, clip)[-1] for clip in torch.split(features, 1)]
    with torch.no_grad():
        offline = student(features)
    for index, name in enumerate(("embedding", "logits")):
        mine, theirs = torch.cat([outputs[index] for outputs in found]), offline[index]
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=0, msg=lambda text, n=name: f"{n}: {text}")
        # What is compared is not one vector for every sound: the bound is far below the clips' distance.
        assert torch.pdist(theirs).min() > 1e-2


def test_the_state_is_as_large_as_planned_and_stays_so(student: Student, features: Tensor) -> None:
    streaming = StreamingStudent(student)
    plan = plan_of(student.config, student.n_mels, student.n_frames, student.n_logits)
    state = streaming.initial_state()
    assert streaming.state_bytes(1) == plan.state_bytes
    assert streaming.state_bytes(4) == 4 * sum(part.numel() for part in state)
    with torch.no_grad():
        _, _, *following = streaming(hops(streaming, features[:1])[0], *state)
    assert [part.shape for part in following] == [part.shape for part in state]
    assert not any(part.any() for part in state)  # a hop writes into nothing that it was given


@settings(max_examples=10)
@given(CONFIGS.map(lambda config: config.model_copy(update={"causal": True})), st.integers(0))
def test_any_shape_streams(config: StudentConfig, seed: int) -> None:
    clip = torch.randn(1, 1, 12, 100, generator=torch.Generator().manual_seed(seed % 2**32))
    student = heard(config, clip)
    with torch.no_grad():
        offline = student(clip)
    torch.testing.assert_close(run(StreamingStudent(student), clip)[-1], offline, atol=1e-4, rtol=0)


@settings(max_examples=6)
@given(st.integers(1, 14), st.floats(-5, 5).filter(bool))
def test_no_hop_hears_the_future(student: Student, features: Tensor, cut: int, change: float) -> None:
    streaming = StreamingStudent(student)
    clip = features[:1]
    cut = min(cut, len(hops(streaming, clip)) - 1)
    changed = clip.clone()
    changed[..., cut * streaming.chunk_frames :] += change
    before, after = run(streaming, clip), run(streaming, changed)
    for mine, theirs in zip(before[:cut], after[:cut], strict=True):
        assert torch.equal(mine[0], theirs[0])
        assert torch.equal(mine[1], theirs[1])


def test_a_student_that_looks_ahead_is_refused() -> None:
    student = Student(FAMILIES["tiny"].config, 48, 249, 20)
    with pytest.raises(UsageError, match="set causal in its shape"):
        StreamingStudent(student)


def test_executorch_streams_the_same_outputs(features: Tensor, tmp_path: Path) -> None:
    from executorch.extension.pybindings import _C

    streaming = StreamingStudent(heard(FAMILIES["base-streaming"].config, features))
    example = (hops(streaming, features[:1])[0], *streaming.initial_state())
    with divert_output(tmp_path / "log"):
        assert _lower(streaming, example, tmp_path / "hop.pte") == {}
        program = _C._load_program(str(tmp_path / "hop.pte"))
        method = program.load_method("forward")
    for clip in torch.split(features[:2], 1):
        state = list(streaming.initial_state())
        for hop, expected in zip(hops(streaming, clip), run(streaming, clip), strict=True):
            # The outputs lie in memory that the next call writes to.
            embedding, logits, *state = [output.clone() for output in method([hop, *state])]
            for mine, theirs in zip((embedding, logits), expected, strict=True):
                torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=0)


def _lower(streaming: StreamingStudent, example: tuple[Tensor, ...], path: Path) -> dict[str, int]:
    """Write the .pte, and count the operators that XNNPACK leaves."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    from quantize.ops import pte_ops

    exported = torch.export.export(streaming, example, strict=True)
    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    path.write_bytes(lowered.to_executorch().buffer)
    return pte_ops(exported.graph, lowered.exported_program().graph_module).undelegated
