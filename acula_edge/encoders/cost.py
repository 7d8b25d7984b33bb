"""What each encoder is and costs: parameters, and multiply-accumulates for a clip of 8 s."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from acula_edge import weights
from acula_edge.contract import AudioContract
from acula_edge.encoders.protocol import AudioEncoder, EncoderContract
from acula_edge.encoders.registry import ENCODERS, empty
from acula_edge.progress import track

CLIP_SECONDS = 8
# Each encoder's own objective, where it is not COLA between the halves of a clip.
_OBJECTIVES = {
    "audiomae": "masked patches",
    "opera-gt": "masked patches",
    "opera-ct": "COLA",
    "opera-ce": "COLA",
}


@dataclass(frozen=True)
class EncoderFacts:
    """A row of the table of encoders.

    `dim` is the length of an embedding, `parameters` the trainable numbers that it depends on (heads of the
    self-supervised loss left out), `speed` how many times as fast it hears a recording, `mmac` the millions
    of multiply-accumulates of a clip of 8 s, so heard, in matrix products and convolutions (an FFT is not
    counted), and `here` whether it can be used now.
    """

    name: str
    dim: int
    parameters: int
    mmac: float
    ssl: str
    sample_rate_hz: int
    speed: float
    features: str
    licence: str
    here: bool

    def to_json(self) -> dict[str, object]:
        """The row as JSON values."""
        return asdict(self)


def encoder_facts(contract: AudioContract) -> tuple[EncoderFacts, ...]:
    """A row for each named encoder, in the table's order; none of their weights is needed."""
    return tuple(_facts(name, contract) for name in track(ENCODERS, len(ENCODERS), "Counting"))


def _facts(name: str, contract: AudioContract) -> EncoderFacts:
    dim, heard, speed, parameters, macs = _measured(name, contract)
    source = ENCODERS[name].weights
    return EncoderFacts(
        name=name,
        dim=dim,
        parameters=parameters,
        mmac=macs / 1e6,
        ssl=_OBJECTIVES.get(name, "COLA on halves"),
        sample_rate_hz=heard.sample_rate_hz,
        speed=speed,
        features=heard.features,
        licence=weights.WEIGHTS[source].licence if source else "none needed",
        here=source is None or weights.installed(source),
    )


@cache  # building the networks takes seconds
def _measured(name: str, contract: AudioContract) -> tuple[int, EncoderContract, float, int, int]:
    encoder = empty(name, contract)
    return encoder.dim, encoder.contract, encoder.speed, *count(encoder)


def count(encoder: AudioEncoder) -> tuple[int, int]:
    """Parameters that an embedding depends on, and multiply-accumulates for one clip of 8 s.

    The trunk runs for real; what follows is only traced, so that a large network costs no time. The encoder
    can not be used afterwards.
    """
    waveform = torch.zeros(1, CLIP_SECONDS * encoder.input_rate_hz)
    encoder.eval()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        hidden = encoder.trunk(waveform).to("meta")
        embedding = encoder.to("meta").pool(encoder.top(hidden))
    return sum(value.numel() for value in _leaves(embedding)), counter.get_total_flops() // 2


def _leaves(output: Tensor) -> list[Tensor]:
    """The parameters that a tensor was computed from."""
    found, seen, todo = [], set(), [output.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        todo += [parent for parent, _ in node.next_functions]
    return found
