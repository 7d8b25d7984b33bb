"""Fabricated checkpoints in OPERA's exact layout.

The tables `opera_{ct,ce,gt}_keys.json` (names and shapes) were written out from OPERA's source: its
HTS-AT and masked autoencoder by hand, EfficientNet-B0 from the package that it uses. The published files
themselves can not be reached from here.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
_INTEGER = ("num_batches_tracked", "relative_position_index")


def shapes(name: str) -> Shapes:
    """Every name in the published checkpoint of OPERA-`name` (ct, ce or gt), with its shape."""
    table = json.loads((Path(__file__).parent / f"opera_{name}_keys.json").read_text(encoding="utf-8"))
    return {key: tuple(shape) for key, shape in table.items()}


def draw(table: Shapes, seed: int = 0) -> dict[str, Tensor]:
    """Random weights of those shapes, scaled so that values neither vanish nor grow through the layers."""
    generator = torch.Generator().manual_seed(seed)
    return {key: _draw(key, shape, generator) for key, shape in table.items()}


def blank(table: Shapes) -> dict[str, Tensor]:
    """Zeros of those shapes, each of which takes no room in a file."""
    return {key: torch.zeros(()).expand(shape) for key, shape in table.items()}


def save(folder: Path, name: str, state: dict[str, Any]) -> Path:
    """Write `state` as PyTorch Lightning does; returns `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    lightning = {
        "epoch": 129,
        "global_step": 31200,
        "pytorch-lightning_version": "2.2.0.post0",
        "state_dict": state,
        "callbacks": {"ModelCheckpoint": {"monitor": "valid_loss", "best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [{"state": {}, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999)}]}],
        "lr_schedulers": [],
        "hyper_parameters": {"p": 0.1, "dim_hidden": 1280, "num_batch": [258.0, 288.0]},
    }
    torch.save(lightning, folder / f"encoder-opera{name.upper()}.ckpt")
    return folder


def _draw(key: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if key.endswith(_INTEGER):
        return torch.full(shape, 7, dtype=torch.int64)
    values = torch.randn(shape, generator=generator)
    if key.endswith("running_var"):
        return 0.2 + 0.25 * values.square()
    if len(shape) > 1 and key.endswith("weight"):
        return values / math.sqrt(math.prod(shape[1:]))
    centre = 1.0 if key.endswith(("weight", "tau")) else 0.0
    return centre + 0.1 * values
