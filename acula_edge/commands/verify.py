"""`acula-edge verify`: a bundle is whole, and its models still give what they gave when it was built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acula_edge.commands.options import Bundle, Json, RuntimeName
from acula_edge.commands.output import print_json, print_rows

if TYPE_CHECKING:
    from acula_edge.artifact import Artifact
    from acula_edge.runtime.golden import Check
    from acula_edge.runtime.runner import Runtime
    from targets.stethoscope.decided import Decided
    from targets.stethoscope.unexecuted import Unexecuted
    from targets.stethoscope.verify import FirmwareCheck


def verify(
    bundle: Bundle,
    runtime: Annotated[
        RuntimeName | None,
        typer.Option(help="Check in this runtime only.  [default: all that are installed]"),
    ] = None,
    clock_mhz: Annotated[
        float, typer.Option(min=1.0, help="Clock that a stethoscope's time is estimated for.")
    ] = 64.0,
    as_json: Json = False,
) -> None:
    """Check a bundle's hashes, and its golden clips.

    Every file is hashed again, and the golden clips run through every runtime; a stethoscope's library is
    compiled and runs them on an emulated board. The exit code is 3 if anything differs.
    """
    from acula_edge.errors import GateError
    from acula_edge.runtime.golden import verify_bundle
    from acula_edge.runtime.runner import Runtime, available

    model = _open(bundle)
    asked = [Runtime(runtime)] if runtime else [name for name in Runtime if available(name)]
    problems = model.verify()
    found = _Found(
        model=model,
        problems=problems,
        checks=[] if problems else verify_bundle(model, asked),
        firmware=None if problems or runtime else _firmware(model, clock_mhz),
        unexecuted=() if problems else _unexecuted(model),
    )
    (_as_json if as_json else _as_rows)(found)
    if found.failures:
        raise GateError(f"{model.path} is not as it was built: {'; '.join(found.failures)}")


@dataclass(frozen=True)
class _Found:
    """What was found of a bundle: `firmware` is None without a library, or where a runtime was asked for."""

    model: Artifact
    problems: Sequence[str]
    checks: Sequence[Check]
    firmware: FirmwareCheck | None
    unexecuted: Sequence[Unexecuted]

    @property
    def missing(self) -> list[Runtime]:
        """Runtimes that ran no file."""
        from acula_edge.runtime.runner import Runtime

        checked = {check.runtime for check in self.checks}
        return [name for name in Runtime if name not in checked]

    @property
    def failures(self) -> list[str]:
        """Sentences."""
        failed = [*self.problems]
        failed += [f"{_file(check)} misses its bound" for check in self.checks if not check.passed]
        if self.firmware is not None and not self.firmware.passed:
            failed.append(f"the library on {self.firmware.core.machine}: {'; '.join(self.firmware.failures)}")
        return failed


def _firmware(model: Artifact, clock_mhz: float) -> FirmwareCheck | None:
    from targets.stethoscope.verify import core_of, verify_firmware

    core = core_of(model)
    return None if core is None else verify_firmware(model, core, clock_mhz * 1e6)


def _unexecuted(model: Artifact) -> Sequence[Unexecuted]:
    from targets.stethoscope.unexecuted import unexecuted

    return unexecuted(model)


def _open(path: Path) -> Artifact:
    """The bundle. A damaged one is a failed gate (3); a folder that is something else is not (1)."""
    from acula_edge.artifact import MANIFEST, Artifact, ArtifactKind
    from acula_edge.errors import ArtifactError, GateError

    try:
        model = Artifact.open(path)
    except ArtifactError as error:
        if (path / MANIFEST).is_file():
            raise GateError(str(error)) from None
        raise
    if model.manifest.kind is not ArtifactKind.BUNDLE:
        raise ArtifactError(f"{path} is a {model.manifest.kind} artifact, not a bundle")
    return model


def _as_json(found: _Found) -> None:
    library = {} if found.firmware is None else {"firmware": found.firmware.to_json()}
    print_json(
        {
            "bundle": str(found.model.path),
            "digest": found.model.digest,
            "passed": not found.failures,
            "problems": found.problems,
            "checks": [check.to_json() for check in found.checks],
            "not_checked": found.missing,
            "not_executed": [file.to_json() for file in found.unexecuted],
            **library,
        }
    )


def _as_rows(found: _Found) -> None:
    manifest = found.model.manifest
    n_files = len(manifest.files) + len(manifest.measured)
    intact = "FAILED" if found.problems else "ok"
    rows = [("hashes", f"{n_files} files", intact, "; ".join(found.problems))]
    for check in found.checks:
        error = check.note or f"largest error {check.max_abs_error:g}, bound {check.bound:g} {check.unit}"
        rows.append((_file(check), f"{check.clips} clips", "ok" if check.passed else "FAILED", error))
    rows += [(f".{name}", "", "not checked", "") for name in found.missing]
    rows += [(file.file, f"{file.bytes} bytes", "hash ok", file.note) for file in found.unexecuted]
    if found.firmware is not None:
        rows.append(_firmware_row(found.firmware))
        rows += [_decided_row(decided) for decided in found.firmware.decided]
    print_rows(("check", "size", "result", "note"), rows)


def _decided_row(found: Decided) -> tuple[str, str, str, str]:
    note = f"{found.different} differ from model_pcm.tflite by LiteRT's {found.kernels}"
    if found.different:
        note += f"; the logit's distance from a limit of the rule, in INT8 steps: {found.steps_from_a_limit}"
    return "decisions", str(found.decisions), "ok" if found.passed else "FAILED", note


def _firmware_row(firmware: FirmwareCheck) -> tuple[str, str, str, str]:
    found = firmware.findings
    front_end, network = found.front_end_instructions / 1e6, found.network_instructions / 1e6
    note = (
        f"{found.mismatches} of {found.values} values differ on {firmware.core.machine} (emulated); "
        f"{found.hops} hops a clip, each of {front_end:.2f} + {network:.2f} M instructions; "
        f"{found.state_bytes} bytes of state, {found.stack_bytes} of stack; {_time(firmware)}"
    )
    return firmware.core.title, f"{found.clips} clips", "ok" if firmware.passed else "FAILED", note


def _time(firmware: FirmwareCheck) -> str:
    """A range, as wide as published runs of the core differ."""
    from targets.stethoscope.cycles import LABEL

    found = firmware.estimate
    if found is None:
        return f"no time: no run on {firmware.core.title} is published"
    return (
        f"{found.hop_ms[0]:.1f} to {found.hop_ms[1]:.1f} ms a hop at {found.clock_hz / 1e6:g} MHz, busy "
        f"{found.busy_percent[0]:.1f} to {found.busy_percent[1]:.1f} % of the time ({LABEL})"
    )


def _file(check: Check) -> str:
    return f"{check.form} .{check.runtime}"
