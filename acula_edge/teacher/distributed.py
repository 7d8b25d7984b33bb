"""Processes: one training over several processes, GPUs or machines, equal to that of one process.

Start them with `torchrun` or `accelerate launch`. Every process draws the whole batch and represents its
share of it; the representations are gathered, so that each has the loss of the whole batch, and not the
mean of losses over shares: CKA is not a mean over recordings. The gradients of all are then added up.
Machines need a folder in common for the checkpoint.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from acula_edge import progress
from acula_edge.checkpoint import Alone


class Processes(Alone):
    """The processes that train together, this one being `rank` of `count`."""

    def __init__(self, rank: int, count: int, device: torch.device) -> None:
        self.rank, self.count, self.device = rank, count, device

    @classmethod
    def here(cls) -> Processes:
        """Those that this process was started with; on GPUs, if there are any.

        All but the first are silent.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls(0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        from accelerate import PartialState

        state = PartialState(cpu=not torch.cuda.is_available())
        progress.quiet = progress.quiet or state.process_index > 0
        return cls(state.process_index, state.num_processes, state.device)

    @property
    def main(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """This process's rows of a batch of n. One without any takes a row that counts for nothing."""
        start, stop = self._bounds(n)
        return slice(start, stop) if stop > start else slice(0, 1)

    def whole(self, share: tuple[Tensor, ...], n: int) -> tuple[Tensor, ...]:
        """Every process's rows (n, ...) from each one's `share(n)`; gradients flow back to the share."""
        if self.count == 1:
            return share
        start, stop = self._bounds(n)
        return tuple(_Whole.apply(part, start, stop, n, self.count) for part in share)  # type: ignore[no-untyped-call]

    def sum_gradients(self, model: nn.Module) -> None:
        """Add up every parameter's gradient over the processes."""
        if self.count == 1:
            return
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, part in zip(gradients, torch.split(flat, sizes), strict=True):
            gradient.copy_(part.view_as(gradient))

    def agree(self, judge: Callable[[], float]) -> float:
        """The first process's `judge()`, for all; the others wait."""
        if self.count == 1:
            return judge()
        score = torch.tensor(judge() if self.main else 0.0, dtype=torch.float64, device=self.device)
        dist.broadcast(score, 0)
        return float(score)

    def only_first_goes_on(self) -> None:
        """End all processes but the first, where the rest of the work is one's."""
        if self.count > 1:
            dist.destroy_process_group()
        if not self.main:
            raise SystemExit(0)

    def _bounds(self, n: int) -> tuple[int, int]:
        return n * self.rank // self.count, n * (self.rank + 1) // self.count


class _Whole(torch.autograd.Function):
    """All-gather of shares of any size: each is put in its place among zeros, and these are added up."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, start: int, stop: int, n: int, count: int) -> Tensor:
        ctx.bounds, ctx.rows, ctx.count = (start, stop), len(part), count
        whole = part.new_zeros(n, *part.shape[1:])
        whole[start:stop] = part[: stop - start]
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        """The sum over the processes of the gradients of this share.

        Each computes the same from the same rows, so that the sum is `count` times this process's own.
        """
        start, stop = ctx.bounds
        own = gradient.new_zeros(ctx.rows, *gradient.shape[1:])
        own[: stop - start] = ctx.count * gradient[start:stop]
        return own, None, None, None, None
