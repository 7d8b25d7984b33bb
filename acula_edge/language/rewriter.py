"""Rewriter: a language model tells a report in other words, and nothing that it adds or loses gets through.

As in AcuLa (arXiv 2512.04847) the model may use only the information given. Here each text is checked
against the facts of the metadata; one that fails is counted, and the plain report stands in its place.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from acula_edge.data.reports.checker import check
from acula_edge.data.reports.facts import Facts
from acula_edge.errors import UsageError
from acula_edge.language.loading import load_model, precision
from acula_edge.language.registry import find
from acula_edge.progress import track

PROMPT = (
    "Rewrite this clinical report in other words, as one or two short sentences of plain English. Use only "
    "the information given: keep every finding, number, side and diagnosis, and add nothing."
)
_EXAMPLES = (
    (
        "Lung sounds of a 48-year-old female patient, right lateral. Finding: crackles. Diagnosis: COPD.",
        "A 48-year-old woman with COPD has crackles over the right lateral chest.",
    ),
    (
        "Heart sounds of a 12-year-old male patient, aortic area, sitting. No valve disease. A smoker.",
        "In this 12-year-old boy, seated and a smoker, no valve disease is heard at the aortic area.",
    ),
)
_MAX_NEW_TOKENS = 96
_BATCH = 8


class Writer(Protocol):
    """A language model that rewrites reports."""

    @property
    def name(self) -> str:
        """Name of the model."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the weights and of every setting that a text depends on."""

    def write(self, reports: Sequence[str]) -> list[str]:
        """Each report in other words, unchecked."""


@dataclass(frozen=True)
class RewriteResult:
    """`text` is the rewritten report if it was accepted, else the plain one; `reason` is then the fault."""

    text: str
    accepted: bool
    reason: str = ""


class CausalWriter:
    """A causal language model of `acula_edge.language.registry`, or of a folder; greedy, so repeatable."""

    def __init__(self, name: str) -> None:
        """Load the model. Raises UsageError if it does not generate text, ToolError if it is not here."""
        found = find(name)
        if not found.causal:
            raise UsageError(f"{name} does not generate text; name a causal language model as rewriter")
        self.name = found.name
        self._tokenizer, self._model = load_model(found.source, "AutoModelForCausalLM")
        self._tokenizer.padding_side = "left"  # so that each text goes on where it ends
        settings = [found.source.digest, PROMPT, _EXAMPLES, _MAX_NEW_TOKENS, _BATCH, precision()]
        self.fingerprint = hashlib.sha256(json.dumps(settings).encode()).hexdigest()

    def write(self, reports: Sequence[str]) -> list[str]:
        """Each report in other words, unchecked."""
        starts = range(0, len(reports), _BATCH)
        return [text for start in starts for text in self._write(reports[start : start + _BATCH])]

    def _write(self, reports: Sequence[str]) -> list[str]:
        import torch

        prompts = [self._prompt(report) for report in reports]
        batch = self._tokenizer(prompts, padding=True, return_tensors="pt", add_special_tokens=False)
        with torch.inference_mode():
            tokens = self._model.generate(
                input_ids=batch["input_ids"].to(self._model.device),
                attention_mask=batch["attention_mask"].to(self._model.device),
                do_sample=False,
                max_new_tokens=_MAX_NEW_TOKENS,
                pad_token_id=self._tokenizer.pad_token_id,
            )
        fresh = tokens[:, batch["input_ids"].shape[1] :]
        return [text.strip() for text in self._tokenizer.batch_decode(fresh, skip_special_tokens=True)]

    def _prompt(self, report: str) -> str:
        turns = [turn for before, after in _EXAMPLES for turn in (("user", before), ("assistant", after))]
        turns.append(("user", report))
        if self._tokenizer.chat_template is None:
            return PROMPT + "".join(f"\n\n{text}" for _, text in turns) + "\n\n"
        messages = [{"role": role, "content": text} for role, text in turns]
        messages[0]["content"] = f"{PROMPT}\n\n{messages[0]['content']}"
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def rewrite_reports(reports: Sequence[tuple[str, Facts]], model: str, folder: Path) -> list[RewriteResult]:
    """Each report (plain text, facts of its recording) in the words of the language model `model`.

    Texts are kept in `folder`. Raises UsageError if the model does not generate text, ToolError if it is
    not here.
    """
    return rewrite_with(CausalWriter(model), reports, folder)


def rewrite_with(writer: Writer, reports: Sequence[tuple[str, Facts]], folder: Path) -> list[RewriteResult]:
    """`rewrite_reports` by a writer that is loaded. What it wrote is kept, checked or not: a killed run
    goes on where it was, and a later checker judges anew."""
    place = folder / f"{writer.name}-{writer.fingerprint[:16]}"
    place.mkdir(parents=True, exist_ok=True)
    unique = sorted({plain for plain, _ in reports})
    chunks = [unique[start : start + _BATCH] for start in range(0, len(unique), _BATCH)]
    written: dict[str, str] = {}
    for chunk in track(chunks, len(chunks), "rewriting reports"):
        written |= zip(chunk, _chunk(writer, chunk, place), strict=True)
    return [_judge(written[plain], plain, facts) for plain, facts in reports]


def reasons(results: Sequence[RewriteResult]) -> dict[str, int]:
    """How many texts were accepted, and how many refused for each reason."""
    return dict(Counter(result.reason or "accepted" for result in results).most_common())


def _judge(text: str, plain: str, facts: Facts) -> RewriteResult:
    objection = check(text, facts, plain, PROMPT)
    if objection is None:
        return RewriteResult(text, accepted=True)
    return RewriteResult(plain, accepted=False, reason=str(objection.fault))


def _chunk(writer: Writer, plain: list[str], place: Path) -> list[str]:
    path = place / f"{hashlib.sha256(json.dumps(plain).encode()).hexdigest()}.json"
    kept = _read(path)
    if kept is not None and len(kept) == len(plain):
        return kept
    fresh = writer.write(plain)
    scratch = path.with_suffix(f".{os.getpid()}.writing")
    scratch.write_text(json.dumps(fresh), encoding="utf-8")
    scratch.replace(path)
    return fresh


def _read(path: Path) -> list[str] | None:
    """The texts of a file, or None if it is absent or damaged."""
    try:
        texts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return texts if isinstance(texts, list) and all(isinstance(text, str) for text in texts) else None
