"""StreamingStudent: a causal student run hop by hop, with a state of fixed size.

The state holds the last frames that each causal convolution still needs, and the sum and count of the
pooled map, so that the embedding after any number of hops is that of all the sound since the state was
new. A hop is always `chunk_frames` frames, of which the strides make one frame of the last map: the
same sound can not be cut in other places, and frames behind the last whole hop are not heard, hop by hop
or offline.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from acula_edge.errors import UsageError
from acula_edge.students.blocks import InvertedResidual
from acula_edge.students.student import Student

_SUM_BYTES = 4  # a sum over all hops outgrows INT8
# Gives a convolution its past: from the frames (1, C, mels, n) that reach it and the number of past ones.
Past = Callable[[Tensor, int], Tensor]


class StreamingStudent(nn.Module):
    """One hop of a causal `student`: a pure function of the hop and the state.

    The student's weights are shared, and it is put into evaluation mode. Raises UsageError if it looks
    ahead.
    """

    def __init__(self, student: Student) -> None:
        super().__init__()
        if not student.config.causal:
            raise UsageError("a student that looks ahead can not run hop by hop; set causal in its shape")
        self.student = student
        self.chunk_frames = student.config.frame_stride
        self.eval()

    def forward(self, chunk: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Embedding (1, E) and logits (1, K) of all the sound so far, then the next state; float32.

        `chunk` is normalised log-mel (1, 1, n_mels, chunk_frames); `state` is `initial_state()` at first,
        then what the hop before gave.
        """
        *past, total, count = state
        stored = iter(past)
        following: list[Tensor] = []
        frames = _run(self.student.trunk, chunk, lambda _frames, _n: next(stored), following)
        total, count = total + frames.mean((2, 3), keepdim=True), count + 1.0
        embedding = self.student.embedding((total / count).flatten(1))
        return embedding, self.student.head(embedding), *following, total, count

    @torch.no_grad()
    def initial_state(self) -> tuple[Tensor, ...]:
        """Silence: zeros (1, C, mels, n) for each convolution with a past, (1, C, 1, 1) and (1,), float32."""
        past: list[Tensor] = []

        def silence(frames: Tensor, n: int) -> Tensor:
            past.append(frames.new_zeros(*frames.shape[:3], n))
            return past[-1]

        chunk = torch.zeros(1, 1, self.student.n_mels, self.chunk_frames)
        frames = _run(self.student.trunk, chunk, silence, [])
        return *past, torch.zeros(1, frames.shape[1], 1, 1), torch.zeros(1)

    def state_bytes(self, bytes_per_number: int) -> int:
        """Size of the state with frames in INT8 (1) or float32 (4); sum and count always take 4 each."""
        *past, total, count = self.initial_state()
        held = sum(frames.numel() for frames in past)
        return bytes_per_number * held + _SUM_BYTES * (total.numel() + count.numel())


def _run(layer: nn.Module, x: Tensor, past: Past, following: list[Tensor]) -> Tensor:
    """`layer` on one hop; where it would put silence before the clip stands its past instead.

    What each convolution must remember for the next hop is appended to `following`.
    """
    if isinstance(layer, nn.ZeroPad2d):
        n = layer.padding[0]
        joined = torch.cat((past(x, n), x), 3)
        following.append(joined[..., -n:])
        return joined
    if isinstance(layer, InvertedResidual):
        y = _run(layer.layers, x, past, following)
        return x + y if layer.skips else y
    if isinstance(layer, nn.Sequential):
        for part in layer:
            x = _run(part, x, past, following)
        return x
    result: Tensor = layer(x)
    return result
