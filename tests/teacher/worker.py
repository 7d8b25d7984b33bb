"""One of several processes: the gradients of a batch, and a short training; the first writes them.

torchrun --nproc-per-node 2 -m tests.teacher.worker FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from acula_edge.teacher.align import align, batch_parts
from acula_edge.teacher.config import Alignment
from acula_edge.teacher.distributed import Processes
from tests.teacher.tiny import Float64Model, tiny_config, tiny_encoder, tone_pairs


def gradients(n: int, alignment: Alignment, processes: Processes) -> dict[str, torch.Tensor]:
    """Gradients of one batch of n recordings, the last three without a report, and its loss."""
    model = Float64Model(tiny_encoder(), 8, tiny_config(alignment=alignment)).double().train()
    batch = tone_pairs(n, 0, unpaired=3).batch(np.arange(n), 0.5, np.random.default_rng(0))
    loss = torch.stack(list(batch_parts(model, batch, 4, processes).values())).sum()
    (loss / processes.count).backward()  # type: ignore[no-untyped-call]
    processes.sum_gradients(model)
    found = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    return {**found, "loss": loss.detach()}


def trained(work: Path) -> dict[str, torch.Tensor]:
    """The weights of a short training, with early stopping by a score that only one process sees."""
    config = tiny_config(epochs=4, patience=1, alignment=Alignment.SIGLIP)
    model = Float64Model(tiny_encoder(), 8, config).double()
    scores = iter([0.1, 0.3, 0.2, 0.4])

    def validate() -> float:
        assert Processes.here().main
        return next(scores)

    history = align(
        model, tone_pairs(37, 0, forms=2, unpaired=5), tone_pairs(12, 1), config, work, "a", validate
    )
    assert [record.score for record in history] == [0.1, 0.3, 0.2]
    return model.state_dict()


def everything(folder: Path) -> dict[str, torch.Tensor]:
    """All that one process and several must agree on."""
    processes = Processes.here()
    found = {
        f"{alignment}.{n}.{name}": value
        for alignment in (Alignment.CKA, Alignment.INFONCE)
        for n in (13, 2)
        for name, value in gradients(n, alignment, processes).items()
    }
    return found | {f"trained.{name}": value for name, value in trained(folder / "work").items()}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    found = everything(folder)
    Processes.here().only_first_goes_on()
    save_file({name: value.contiguous() for name, value in found.items()}, folder / "found.safetensors")
