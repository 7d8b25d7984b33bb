"""The language models that a config may name."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from acula_edge import weights
from acula_edge.artifact import sha256_file
from acula_edge.errors import UsageError
from acula_edge.language.protocol import TextEncoder
from acula_edge.progress import say


@dataclass(frozen=True)
class LanguageModel:
    """How to load the weights of one name: a GGUF file, or a transformers folder."""

    gguf_file: str | None = None
    drop_first_token: bool = False


LANGUAGE_MODELS: dict[str, LanguageModel] = {
    "minilm": LanguageModel(),
    "smollm2": LanguageModel(gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf", drop_first_token=True),
    "medgemma-4b": LanguageModel(drop_first_token=True),
}


def load(name: str) -> TextEncoder:
    """The text encoder `name`, or the one in a transformers model folder of that path.

    Raises UsageError, naming the valid ones, if it is neither, and ToolError if weights are not here.
    """
    from acula_edge.language.transformers_encoder import TransformersEncoder

    if name in LANGUAGE_MODELS:
        model = LANGUAGE_MODELS[name]
        folder = weights.folder(name)
        if model.gguf_file:
            say(f"{name}: unpacking {model.gguf_file}, about half a minute")
        return TransformersEncoder(
            name,
            folder,
            weights.digest(name),
            gguf_file=model.gguf_file,
            drop_first_token=model.drop_first_token,
        )
    folder = Path(name)
    if not (folder / "config.json").is_file():
        raise UsageError(
            f"there is no language model {name}; choose one of {', '.join(LANGUAGE_MODELS)}, or give a "
            f"transformers model folder (it holds a config.json)"
        )
    return TransformersEncoder(
        folder.name, folder, _folder_digest(folder), drop_first_token=_is_causal(folder)
    )


def _is_causal(folder: Path) -> bool:
    """Whether the folder's model was trained to generate text."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    architectures = config.get("architectures") or []
    return any(name.endswith(("ForCausalLM", "ForConditionalGeneration")) for name in architectures)


def _folder_digest(folder: Path) -> str:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return hashlib.sha256("".join(f"{p.name} {sha256_file(p)}\n" for p in files).encode()).hexdigest()
