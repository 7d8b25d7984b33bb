"""GradCache: the gradient of a loss over the whole batch, a micro-batch in memory at a time.

Gao et al., "Scaling deep contrastive learning batch size under memory limited setup" (RepL4NLP 2021):
represent every micro-batch without a graph, take the gradients of the loss with respect to the
representations, then represent each micro-batch again, with the same random numbers and with a graph,
and send its part of those gradients through it. The result is the one-pass gradient; the price is a
second forward pass. In training mode batch normalisation sees a micro-batch instead of the batch (and
counts each one twice in its running statistics), so that there the two differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor


class Batch(Protocol):
    """Clips that can be cut into micro-batches."""

    def __len__(self) -> int: ...

    def rows(self, part: slice) -> Self:
        """Some of the clips."""


B = TypeVar("B", bound=Batch)
In = TypeVar("In", bound=Batch, contravariant=True)


class Model(Protocol[In]):
    """Anything that represents each clip by itself."""

    def represent(self, batch: In) -> tuple[Tensor, ...]:
        """Float tensors with a row a clip."""


def represent(model: Model[B], batch: B, micro_batch: int | None) -> tuple[Tensor, ...]:
    """`model.represent(batch)`, `micro_batch` clips at a time (None: all at once).

    `backward` on anything computed from the result puts the gradients into the model's parameters.
    """
    if micro_batch is None or len(batch) <= micro_batch:
        return model.represent(batch)
    starts = range(0, len(batch), micro_batch)
    chunks = [batch.rows(slice(start, start + micro_batch)) for start in starts]
    states, parts = [], []
    with torch.no_grad():
        for chunk in chunks:
            states.append(_random_state())
            parts.append(model.represent(chunk))
    whole = tuple(torch.cat(pieces) for pieces in zip(*parts, strict=True))
    if torch.is_grad_enabled():
        leaves = [tensor.requires_grad_() for tensor in whole]
        sizes = [len(chunk) for chunk in chunks]

        def again(gradients: Sequence[Tensor | None]) -> None:
            split = [_split(gradient, sizes) for gradient in gradients]
            for chunk, state, *own in zip(chunks, states, *split, strict=True):
                _send_back(model, chunk, state, own)

        torch.autograd.graph.register_multi_grad_hook(leaves, again)
    return whole


def _split(gradient: Tensor | None, sizes: list[int]) -> Sequence[Tensor | None]:
    return [None] * len(sizes) if gradient is None else torch.split(gradient, sizes)


def _send_back(model: Model[B], chunk: B, state: list[Tensor], gradients: Sequence[Tensor | None]) -> None:
    with torch.enable_grad(), torch.random.fork_rng(_devices()):
        _set_random_state(state)
        outputs = model.represent(chunk)
        pairs = zip(outputs, gradients, strict=True)
        used = [(x, gradient) for x, gradient in pairs if x.requires_grad and gradient is not None]
        torch.autograd.backward([x for x, _ in used], [gradient for _, gradient in used])


def _devices() -> list[int]:
    """The accelerator whose random numbers are drawn, if there is one."""
    return [torch.cuda.current_device()] if torch.cuda.is_available() else []


def _random_state() -> list[Tensor]:
    return [torch.get_rng_state(), *map(torch.cuda.get_rng_state, _devices())]


def _set_random_state(state: list[Tensor]) -> None:
    torch.set_rng_state(state[0])
    for device, own in zip(_devices(), state[1:], strict=True):
        torch.cuda.set_rng_state(own, device)
