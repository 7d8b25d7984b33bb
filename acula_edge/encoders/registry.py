"""The table of audio encoders: how each is built, and where its weights come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from acula_edge import weights
from acula_edge.contract import AudioContract
from acula_edge.encoders.openwakeword import OpenWakeWordEncoder, load_openwakeword
from acula_edge.encoders.protocol import AudioEncoder
from acula_edge.encoders.small import SmallEncoder
from acula_edge.encoders.whisper import WhisperEncoder, load_whisper
from acula_edge.errors import UsageError


@dataclass(frozen=True)
class EncoderEntry:
    """`empty` builds the architecture (weights come later), `pretrained` with its first weights."""

    empty: Callable[[AudioContract], AudioEncoder]
    pretrained: Callable[[AudioContract], AudioEncoder]


def _pretrained_openwakeword(_contract: AudioContract) -> AudioEncoder:
    return load_openwakeword(weights.folder("openwakeword"))


def _pretrained_whisper(_contract: AudioContract) -> AudioEncoder:
    return load_whisper(weights.folder("whisper-base"))


ENCODERS: dict[str, EncoderEntry] = {
    "openwakeword": EncoderEntry(lambda _contract: OpenWakeWordEncoder(), _pretrained_openwakeword),
    "whisper-base": EncoderEntry(lambda _contract: WhisperEncoder(), _pretrained_whisper),
    "small": EncoderEntry(SmallEncoder, SmallEncoder),
}


def pretrained(name: str, contract: AudioContract, seed: int) -> AudioEncoder:
    """Encoder `name` with pretrained weights (or, for `small`, seeded random ones).

    Raises UsageError for an unknown name, ToolError if the weights are not on this machine.
    """
    torch.manual_seed(seed)
    return _fast(_entry(name).pretrained(contract))


def empty(name: str, contract: AudioContract) -> AudioEncoder:
    """Encoder `name` before its weights are loaded. Raises UsageError for an unknown name."""
    return _fast(_entry(name).empty(contract))


def _entry(name: str) -> EncoderEntry:
    if name not in ENCODERS:
        raise UsageError(f"encoder {name} is not known; choose one of: {', '.join(ENCODERS)}")
    return ENCODERS[name]


def _fast(encoder: AudioEncoder) -> AudioEncoder:
    encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # 1.5 times on a CPU
    return encoder
