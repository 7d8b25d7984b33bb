"""Write the tables in docs/index.md that come from the code.

    python docs/generate.py [--check]

`--check` writes nothing, and exits with 1 if docs/index.md is not up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from typer.main import get_command

from acula_edge import errors
from acula_edge.cli import app
from acula_edge.contract import AudioContract
from acula_edge.data.tasks import KNOWN_TASKS
from acula_edge.students.families import FAMILIES
from acula_edge.students.plan import plan_of
from acula_edge.weights import WEIGHTS

PAGE = Path(__file__).resolve().parent / "index.md"
_LOGITS = 18  # outputs of the task heads, as `distill plan` takes them by default
_CONTRACT_MEANING = {
    "sample_rate_hz": "rate of the PCM samples",
    "clip_samples": "samples in one clip, the input of the model",
    "window_samples": "samples in one frame, weighted by a periodic Hann window",
    "hop_samples": "samples from one frame to the next; frame t starts at t x hop, nothing is padded",
    "n_fft": "points of the DFT",
    "n_mels": "mel bands (Slaney scale, Slaney area normalisation)",
    "f_min_hz": "lower edge of the first band",
    "f_max_hz": "upper edge of the last band",
    "log_floor": "least power before the natural logarithm; full scale is 1.0",
    "pcm": "type of a PCM sample",
    "normalisation": "mean and std of each mel band, learned on the training split, constant on the device",
}


def command_table() -> str:
    """Every command with its arguments, then its options."""
    rows = []
    for name, command in _commands(get_command(app), "acula-edge"):
        arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
        options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
        usage = " ".join([name, *(argument.metavar for argument in arguments)])
        rows.append((f"`{usage}`", " ".join(command.help.split())))
        rows += [("", f"`{option.opts[0]}` {option.help}") for option in options if option.name != "as_json"]
    return _table(("command", "what it does"), rows)


def _commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def contract_table() -> str:
    """Every field of AudioContract, its default and its meaning, then what follows from them."""
    contract = AudioContract()
    values = {name: value for name, value in contract.model_dump().items() if name != "normalisation"}
    rows = [(f"`{name}`", str(value), _CONTRACT_MEANING[name]) for name, value in values.items()]
    rows.append(("`normalisation`", "learned", _CONTRACT_MEANING["normalisation"]))
    rows.append(("frames", str(contract.n_frames), "1 + (clip_samples - window_samples) // hop_samples"))
    rows.append(("clip length", f"{contract.clip_seconds:g} s", "clip_samples / sample_rate_hz"))
    return _table(("field", "default", "meaning"), rows)


def task_table() -> str:
    """The tasks that are asked when their data set is in the folder."""
    rows = [
        (
            f"`{task.name}`",
            f"`{task.dataset}`",
            f"`{task.field}`",
            ", ".join(rule.name for rule in task.classes),
            task.metric.replace("_", " ").replace("auroc", "AUROC"),
        )
        for task in KNOWN_TASKS
    ]
    return _table(("task", "data set", "column", "classes", "metric"), rows)


def encoder_table() -> str:
    """The audio encoders, and what they cost for a clip of 8 s."""
    from acula_edge.encoders.cost import encoder_facts

    rows = [
        (
            f"`{fact.name}`",
            str(fact.dim),
            f"{fact.parameters / 1e6:.2f}",
            f"{fact.mmac:.0f}",
            f"{fact.speed:g}",
            f"{fact.sample_rate_hz / 1000:g} kHz, {fact.features}",
            fact.ssl,
        )
        for fact in encoder_facts(AudioContract())
    ]
    return _table(("encoder", "dim", "M parameters", "MMAC", "speed", "hears", "own loss"), rows)


def student_table() -> str:
    """The student families, and what they cost for a clip of the default front end."""
    contract = AudioContract()
    rows = []
    for name, entry in FAMILIES.items():
        plan = plan_of(entry.config, contract.n_mels, contract.n_frames, _LOGITS)
        rows.append(
            (
                f"`{name}`",
                entry.device,
                f"{plan.parameters:,}",
                f"{plan.macs / 1e6:.1f}",
                f"{plan.peak_activation_bytes / 1024:.1f}",
                f"{plan.flash_bytes / 1024:.0f}",
                f"{plan.state_bytes / 1024:.1f}" if entry.config.causal else "",
            )
        )
    header = ("student", "for", "parameters", "MMAC", "peak activations KiB", "flash KiB", "state KiB")
    return _table(header, rows)


def weights_table() -> str:
    """The pretrained weights that `acula-edge models add` knows."""
    rows = [
        (f"`{entry.name}`", entry.kind.value, entry.facts, entry.licence, str(entry.source))
        for entry in WEIGHTS.values()
    ]
    return _table(("name", "for", "what", "licence", "from"), rows)


def exit_table() -> str:
    """Exit codes, from the exception tree."""
    classes = [errors.AculaError, errors.UsageError, errors.GateError, errors.ToolError]
    rows = [("0", "all is well")]
    rows += [(str(cls.exit_code), _first_line(cls.__doc__)) for cls in classes]
    return _table(("code", "meaning"), rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "commands": command_table,
    "contract": contract_table,
    "tasks": task_table,
    "encoders": encoder_table,
    "students": student_table,
    "weights": weights_table,
    "exit-codes": exit_table,
}


def updated(text: str) -> str:
    """`text` with every generated block made again."""
    for name, make in BLOCKS.items():
        before, begin, rest = text.partition(f"<!-- {name}:begin -->\n")
        _, end, after = rest.partition(f"<!-- {name}:end -->")
        if not begin or not end:
            raise SystemExit(f"{PAGE.name} lacks the markers {name}:begin and {name}:end")
        text = before + begin + make() + end + after
    return text


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _first_line(docstring: str | None) -> str:
    return (docstring or "").splitlines()[0].rstrip(".")


def main() -> None:
    """Update docs/index.md, or check it."""
    text = PAGE.read_text(encoding="utf-8")
    fresh = updated(text)
    if "--check" in sys.argv[1:]:
        raise SystemExit(0 if fresh == text else "docs/index.md is old: run python docs/generate.py")
    PAGE.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    main()
