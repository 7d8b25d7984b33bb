"""Board: the curves of a training for TensorBoard, where it is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from acula_edge.checkpoint import Log
from acula_edge.progress import say

LAST_OF_EPOCH = "validation"


def open_board(folder: Path, main: bool = True) -> Log:
    """A function (name, value, optimiser step) that writes event files into `folder`.

    It does nothing where this is not the main process, or where TensorBoard is not installed.
    """
    if not main:
        return _nowhere
    if find_spec("tensorboard") is None:
        say("TensorBoard is not installed: no curves are kept; pip install 'acula-edge[board]' to have them")
        return _nowhere
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))

    def log(name: str, value: float, step: int) -> None:
        writer.add_scalar(name, value, step)
        if name == LAST_OF_EPOCH:
            writer.flush()  # or a reader sees an epoch minutes later

    return log


def _nowhere(_name: str, _value: float, _step: int) -> None:
    pass
