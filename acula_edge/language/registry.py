"""The language models that a config may name."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from acula_edge import weights
from acula_edge.artifact import sha256_file
from acula_edge.errors import UsageError
from acula_edge.language.loading import Source
from acula_edge.language.protocol import TextEncoder
from acula_edge.progress import say

_CAUSAL = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")


@dataclass(frozen=True)
class LanguageModel:
    """How to load the weights of one name: a GGUF file, or a transformers folder."""

    gguf_file: str | None = None
    causal: bool = False


@dataclass(frozen=True)
class Found:
    """A model that is here: its name, its files, and whether it was trained to generate text."""

    name: str
    source: Source
    causal: bool


LANGUAGE_MODELS: dict[str, LanguageModel] = {
    "minilm": LanguageModel(),
    "smollm2": LanguageModel(gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf", causal=True),
    "medgemma-4b": LanguageModel(causal=True),
    "llama-3.2-1b": LanguageModel(causal=True),
    "gemma-3-1b": LanguageModel(causal=True),
    "biomedbert": LanguageModel(),
}


def load(name: str, layer: int = -1, pooling: str = "mean", *, eight_bit: bool = False) -> TextEncoder:
    """The text encoder `name`, or the one in a folder of that path, as `find` finds it.

    See `TransformersEncoder` for `layer` and `pooling`. Raises UsageError, naming the valid ones, for a
    name, a layer or a pooling that is not there, and ToolError if weights or packages are missing.
    """
    from acula_edge.language.transformers_encoder import TransformersEncoder

    found = find(name, eight_bit=eight_bit)
    return TransformersEncoder(found.name, found.source, causal=found.causal, layer=layer, pooling=pooling)


def find(name: str, *, eight_bit: bool = False) -> Found:
    """The model `name`, a transformers folder (it holds a config.json), or one with a single GGUF file.

    Raises UsageError, naming the valid ones, if it is none of them, and ToolError if weights are missing.
    """
    if name not in LANGUAGE_MODELS:
        return _find_folder(Path(name), eight_bit)
    model = LANGUAGE_MODELS[name]
    source = Source(weights.folder(name), weights.digest(name), model.gguf_file, eight_bit)
    _announce(name, source)
    return Found(name, source, model.causal)


def _find_folder(folder: Path, eight_bit: bool) -> Found:
    if (folder / "config.json").is_file():
        return Found(folder.name, Source(folder, _folder_digest(folder), None, eight_bit), _is_causal(folder))
    gguf = sorted(path.name for path in folder.glob("*.gguf")) if folder.is_dir() else []
    if len(gguf) > 1:
        raise UsageError(f"{folder} holds several GGUF files, {', '.join(gguf)}; keep one")
    if not gguf:
        raise UsageError(
            f"there is no language model {folder}; choose one of {', '.join(LANGUAGE_MODELS)}, or give a "
            "model folder (it holds a config.json of transformers, or a GGUF file)"
        )
    source = Source(folder, _folder_digest(folder), gguf[0], eight_bit)
    _announce(folder.name, source)
    return Found(folder.name, source, causal=True)  # transformers reads GGUF files of causal models


def _announce(name: str, source: Source) -> None:
    if source.gguf_file:
        say(f"{name}: unpacking {source.gguf_file}, about half a minute")


def _is_causal(folder: Path) -> bool:
    """Whether the folder's model was trained to generate text."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    architectures = config.get("architectures") or []
    return any(name.endswith(_CAUSAL) for name in architectures)


def _folder_digest(folder: Path) -> str:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return hashlib.sha256("".join(f"{p.name} {sha256_file(p)}\n" for p in files).encode()).hexdigest()
