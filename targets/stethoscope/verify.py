"""Verify: a bundle's library on the emulated board of its core."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from acula_edge.artifact import Artifact
from acula_edge.contract import AudioContract
from targets.stethoscope.bundle import MODEL
from targets.stethoscope.cores import Core
from targets.stethoscope.cycles import CLOCK_HZ, LABEL, Estimate, estimate
from targets.stethoscope.decided import Decided, decided
from targets.stethoscope.emulator import Findings, build_test, run_test
from targets.stethoscope.lowering import read_network
from targets.stethoscope.toolchain import Size, size_of
from targets.table import TARGETS

NETWORK = "src/acula_network.c"


@dataclass(frozen=True)
class FirmwareCheck:
    """Findings on the board, sizes of the library, and the network's layers with their work.

    `decided`: golden clips' decisions against those of the .tflite, by each kind of kernels. `estimate`:
    time on a real core, None where nothing is known of it.
    """

    core: Core
    findings: Findings
    size: Size
    layers: tuple[str, ...]
    macs: tuple[int, ...]
    decided: tuple[Decided, ...]
    estimate: Estimate | None

    @property
    def passed(self) -> bool:
        """Whether every golden value is the expected one, the API's rules are kept, and decisions agree."""
        return not self.failures and self.findings.selftest == 0 and self.findings.mismatches == 0

    @property
    def failures(self) -> tuple[str, ...]:
        """Sentences."""
        strayed = (
            f"with {found.kernels} a decision differs {found.steps_from_a_limit} INT8 steps from any limit"
            for found in self.decided
            if not found.passed
        )
        return (*self.findings.failures, *strayed)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        found = asdict(self.findings)
        found["layers"] = [
            {"name": name, "macs": macs, "instructions": instructions}
            for name, macs, instructions in zip(
                self.layers, self.macs, found.pop("layer_instructions"), strict=False
            )
        ]
        return {
            "core": self.core.title,
            "board": f"{self.core.machine} (emulated)",
            "passed": self.passed,
            "decided": [found.to_json() for found in self.decided],
            "network_instructions": self.findings.network_instructions,
            "estimate": None if self.estimate is None else {"label": LABEL, **asdict(self.estimate)},
            **asdict(self.size),
            **found,
        }


def core_of(bundle: Artifact) -> Core | None:
    """The core that a bundle's library was built for; None for a bundle without one."""
    target = TARGETS.get(str(bundle.manifest.config.get("name", "")))
    return target.core if target and bundle.has(NETWORK) else None


def verify_firmware(bundle: Artifact, core: Core, clock_hz: float = CLOCK_HZ) -> FirmwareCheck:
    """Compile the library in `bundle`, and run its golden clips on the board; estimate its time at a clock.

    Raises ToolError if a tool is missing, GateError if the sources do not compile or the test breaks off.
    """
    network = read_network(bundle.file(MODEL))
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder)
        elf = build_test(bundle.path.resolve(), core, built)
        findings = run_test(elf, core, bundle.path / "test")
        hop_seconds = AudioContract.of(bundle.manifest.contract).clip_seconds / max(1, findings.hops)
        once = findings.front_end_instructions + findings.network_instructions
        return FirmwareCheck(
            core=core,
            findings=findings,
            size=size_of(built),
            layers=tuple(layer.name for layer in network.layers),
            macs=tuple(layer.macs for layer in network.layers),
            decided=decided(bundle, network),
            estimate=estimate(core.name, once, hop_seconds, clock_hz),
        )
