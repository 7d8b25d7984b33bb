"""Checkpoints that others published: read without pickle, and loaded only if every weight fits."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from acula_edge.errors import ArtifactError

_NAMES_SHOWN = 4


def load_published(model: nn.Module, path: Path, prefixes: Mapping[str, str], unused: str = "(?!)") -> None:
    """Load PyTorch Lightning's checkpoint `path` into `model`.

    `prefixes` says how the start of a name of `model` reads in the file; `unused` is a pattern of names in
    the file that `model` does not need. Raises ArtifactError, with the file's own names, if the file is
    damaged or holds more than tensors, or if a weight is missing, unexpected or of another shape.
    """
    own = {_renamed(name, prefixes): name for name in model.state_dict()}
    published = read_state(path)
    given = {name: tensor for name, tensor in published.items() if not re.match(unused, name)}
    expected = {name: model.state_dict()[own[name]].shape for name in own}
    faults = [
        *_listed("lacks", (name for name in expected if name not in given)),
        *_listed("has the unexpected", (name for name in given if name not in expected)),
        *_listed(
            "has misshapen weights",
            (
                f"{name} {tuple(tensor.shape)}, not {tuple(expected[name])}"
                for name, tensor in given.items()
                if name in expected and tensor.shape != expected[name]
            ),
        ),
    ]
    if faults:
        raise ArtifactError(
            f"{path} does not fit {type(model).__name__}: it {'; it '.join(faults)}; add the weights again"
        )
    model.load_state_dict({own[name]: tensor for name, tensor in given.items()})


def read_state(path: Path) -> dict[str, Tensor]:
    """The `state_dict` of PyTorch Lightning's checkpoint `path`, on the CPU.

    Raises ArtifactError if it can not be read, would run code, or holds no such weights.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ArtifactError(f"{path} can not be read ({error.strerror}); add the weights again") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError):
        raise ArtifactError(f"{path} is damaged or holds more than weights; add the weights again") from None
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict):
        raise ArtifactError(f"{path} has no state_dict, as checkpoints have; add the weights again")
    wrong = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if wrong:
        raise ArtifactError(f"{path} holds {wrong[0]}, which is no tensor; add the weights again")
    return state


def _renamed(name: str, prefixes: Mapping[str, str]) -> str:
    for own, theirs in prefixes.items():
        if name.startswith(own):
            return theirs + name.removeprefix(own)
    return name


def _listed(verb: str, names: Iterable[str]) -> list[str]:
    """`verb` and the first few names with a count of the others; nothing if there are no names."""
    found = list(names)
    more = [f"{len(found) - _NAMES_SHOWN} more"] if len(found) > _NAMES_SHOWN else []
    return [f"{verb} {', '.join(found[:_NAMES_SHOWN] + more)}"] if found else []
