"""Loading a transformers model from local files: tokenizer and weights, on the device that is there."""

from __future__ import annotations

import importlib.util
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acula_edge.errors import ToolError, missing_extra


@dataclass(frozen=True)
class Source:
    """Where a model lies: a transformers folder, or a GGUF file in a folder; `digest` of its files.

    `eight_bit` asks for int8 weights (LLM.int8, Dettmers et al., arXiv 2208.07339).
    """

    folder: Path
    digest: str
    gguf_file: str | None = None
    eight_bit: bool = False

    def refuse_impossible(self) -> None:
        """ToolError if int8 weights are asked for and bitsandbytes or a file that it reads is not there."""
        if not self.eight_bit:
            return
        if self.gguf_file:
            raise ToolError(
                f"{self.folder / self.gguf_file} is quantised already; load it without the 8-bit option"
            )
        if importlib.util.find_spec("bitsandbytes") is None:
            raise missing_extra("bitsandbytes", "gpu")


def device() -> str:
    """`cuda` where a GPU is there, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def precision() -> str:
    """What weights are loaded as: bfloat16 on a GPU, as in AcuLa, and float32 on a processor."""
    return {"cuda": "bfloat16", "cpu": "float32"}[device()]


def load_model(source: Source, auto_class: str) -> tuple[Any, Any]:
    """Tokenizer and frozen model (evaluation mode) of a transformers class such as `AutoModel`.

    Nothing is downloaded. Raises ToolError if transformers is not installed or can not read the files.
    """
    source.refuse_impossible()
    try:
        with _silence():
            import torch
            import transformers

            options: dict[str, Any] = {"local_files_only": True}
            options |= {"gguf_file": source.gguf_file} if source.gguf_file else {}
            tokenizer = transformers.AutoTokenizer.from_pretrained(source.folder, **options)
            options |= _eight_bit() if source.eight_bit else {}
            model = getattr(transformers, auto_class).from_pretrained(
                source.folder, dtype=getattr(torch, precision()), **options
            )
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or "transformers", "build") from None
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ToolError(
            f"{source.folder} is not a language model that transformers can load: {reason}"
        ) from None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    placed = model if source.eight_bit else model.to(device())
    return tokenizer, placed.eval().requires_grad_(False)


def _eight_bit() -> dict[str, Any]:
    from transformers import BitsAndBytesConfig

    return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True), "device_map": {"": device()}}


@contextmanager
def _silence() -> Iterator[None]:
    """No bars and no log lines of other packages; what matters is raised."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
