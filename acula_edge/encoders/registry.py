"""The table of audio encoders: how each is built, and where its weights come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from acula_edge import weights
from acula_edge.contract import AudioContract
from acula_edge.encoders import transformers_audio
from acula_edge.encoders.audiomae import AudioMAEEncoder, load_audiomae
from acula_edge.encoders.openwakeword import OpenWakeWordEncoder, load_openwakeword
from acula_edge.encoders.opera_ce import OperaCEEncoder, load_opera_ce
from acula_edge.encoders.opera_ct import OperaCTEncoder, load_opera_ct
from acula_edge.encoders.opera_gt import OperaGTEncoder, load_opera_gt
from acula_edge.encoders.protocol import AudioEncoder
from acula_edge.encoders.small import SmallEncoder
from acula_edge.encoders.whisper import WhisperEncoder, load_whisper
from acula_edge.errors import UsageError


@dataclass(frozen=True)
class EncoderEntry:
    """`empty` builds the architecture (weights come later), `pretrained` with its first weights.

    `weights` names them in the table of weights; None: there are none, or they are the user's own.
    """

    empty: Callable[[AudioContract], AudioEncoder]
    pretrained: Callable[[AudioContract], AudioEncoder]
    weights: str | None = None


def _published(
    name: str, empty: Callable[[], AudioEncoder], load: Callable[[Path], AudioEncoder]
) -> EncoderEntry:
    """An encoder of fixed architecture whose weights are the entry `name` of the table of weights."""
    return EncoderEntry(lambda _contract: empty(), lambda _contract: load(weights.folder(name)), name)


ENCODERS: dict[str, EncoderEntry] = {
    "openwakeword": _published("openwakeword", OpenWakeWordEncoder, load_openwakeword),
    "whisper-base": _published("whisper-base", WhisperEncoder, load_whisper),
    "whisper-base-3": _published(
        "whisper-base", partial(WhisperEncoder, n_layers=3), partial(load_whisper, n_layers=3)
    ),
    "opera-ct": _published("opera-ct", OperaCTEncoder, load_opera_ct),
    "opera-ce": _published("opera-ce", OperaCEEncoder, load_opera_ce),
    "opera-gt": _published("opera-gt", OperaGTEncoder, load_opera_gt),
    "ast": _published("ast", transformers_audio.empty_ast, transformers_audio.load_ast),
    "clap": _published("clap", transformers_audio.empty_clap, transformers_audio.load_clap),
    "audiomae": _published("audiomae", AudioMAEEncoder, load_audiomae),
    "small": EncoderEntry(SmallEncoder, SmallEncoder),
}


def pretrained(name: str, contract: AudioContract, seed: int, speed: float | None = None) -> AudioEncoder:
    """Encoder `name`, or the audio model in a transformers folder of that path, with its weights.

    Those of `small` are random and seeded. It hears recordings `speed` times as fast (None: so that the
    contract's band fills a speech encoder's). Raises UsageError for an unknown name, ToolError if the weights
    are not on this machine, ArtifactError if they do not fit.
    """
    torch.manual_seed(seed)
    return _ready(_entry(name).pretrained(contract), contract, speed)


def empty(name: str, contract: AudioContract, speed: float | None = None) -> AudioEncoder:
    """The same before its weights are loaded. Raises UsageError for an unknown name."""
    return _ready(_entry(name).empty(contract), contract, speed)


def _entry(name: str) -> EncoderEntry:
    folder = Path(name)
    if name in ENCODERS:
        return ENCODERS[name]
    if (folder / "config.json").is_file():
        return EncoderEntry(
            lambda _contract: transformers_audio.empty_folder(folder),
            lambda _contract: transformers_audio.load_folder(folder),
        )
    raise UsageError(
        f"encoder {name} is not known; choose one of: {', '.join(ENCODERS)}, or give a transformers model "
        f"folder (it holds a config.json)"
    )


def _ready(encoder: AudioEncoder, contract: AudioContract, speed: float | None) -> AudioEncoder:
    encoder.speed = speed or encoder.contract.speed_for(contract.f_max_hz)
    encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # 1.5 times on a CPU
    return encoder
