"""How much work is a student for a phone's processor? Instructions on emulated ARM64 cores, ours and others'.

    python benchmarks/arm64.py prepare TOOLS
    python benchmarks/arm64.py count TOOLS MADE QUANTIZED ...

`prepare` needs Debian with qemu-user 7.2, gcc and g++-aarch64-linux-gnu: it unpacks an ARM64 Python, and the
ARM64 wheels of the very versions of LiteRT, ONNX Runtime and ExecuTorch that are installed here, into the
folder TOOLS. `count` takes the files that benchmarks/pareto.py made (its folder MADE) of the artifacts
QUANTIZED, and runs each with one thread on two cores: Cortex-A53 (the little core of cheap phones, without
dot product instructions) and Cortex-A76 (a big core, with them). Two runs go over CLIPS clips, FEW and MANY
times each: the difference gives the instructions of an inference. What a file says there is compared with
what it says on this host, on the clip that pareto.py timed, shifted in time. The result goes to
benchmarks/results/arm64.json.

Instructions are not time: caches, memory and how many instructions a core does at once are not in them.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from int8 import family_of
from numpy.typing import NDArray
from pareto import SYSTEMS, AnyRunner

from acula_edge.artifact import Artifact, ArtifactKind, write_json
from acula_edge.environment import environment
from acula_edge.progress import say, track

HERE = Path(__file__).parent
RESULT = HERE / "results" / "arm64.json"
CLIPS, FEW, MANY = 8, 1, 21  # times that each clip is gone over
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "any")
DEBS = ("python3.11", "libstdc++6", "libgcc-s1", "libc6")
LIBRARIES = ("", "_kernels_optimized", "_kernels_quantized", "_backend_xnnpack", "_threadpool")
_EXECUTED = re.compile(r"^executed (\d+)$", re.MULTILINE)

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Core:
    """A core that QEMU emulates, and how Linux names it to a program."""

    name: str
    cpu: str
    part: str
    features: str

    def cpuinfo(self) -> str:
        """/proc/cpuinfo of a phone with one such core: a runtime chooses its kernels by it."""
        return (
            f"processor\t: 0\nFeatures\t: {self.features}\nCPU implementer\t: 0x41\n"
            f"CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {self.part}\nCPU revision\t: 4\n"
        )


_OLD = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
CORES = (
    Core("Cortex-A53", "cortex-a53", "0xd03", _OLD),
    Core("Cortex-A76", "cortex-a76", "0xd0b", f"{_OLD} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"),
)


@dataclass(frozen=True)
class Tools:
    """What `prepare` leaves in a folder."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def site(self) -> Path:
        return self.folder / "site"

    @property
    def runner(self) -> Path:
        return self.folder / "arm64_run"

    @property
    def plugin(self) -> Path:
        return self.folder / "arm64_insns.so"

    def prepare(self) -> None:
        """Fetch and compile everything."""
        self._unpack_python()
        self._install(["ai-edge-litert", "onnxruntime", "numpy"])
        self._install(["executorch"], "--no-deps")
        headers = self.site / "executorch" / "include"
        libraries = self.site / "executorch" / "lib"
        for library in libraries.glob("libexecutorch*.so"):
            shutil.copy(library, self.root / "usr" / "lib")
        _do(["gcc", "-O2", "-shared", "-fPIC", HERE / "arm64_insns.c", "-o", self.plugin])
        _do(
            [
                *("aarch64-linux-gnu-g++", "-std=c++17", "-O2", "-DC10_USING_CUSTOM_GENERATED_MACROS"),
                *(f"-I{headers}", f"-I{headers}/executorch/runtime/core/portable_type/c10"),
                *(HERE / "arm64_run.cpp", "-o", self.runner, f"-L{libraries}", "-Wl,--no-as-needed"),
                *(f"-lexecutorch{name}" for name in LIBRARIES),
                "-Wl,--allow-shlib-undefined",
            ]
        )

    def _unpack_python(self) -> None:
        """ARM64 packages beside this machine's own: apt works in folders of its own, and installs nothing."""
        apt = self.folder / "apt"
        for part in ("lists/partial", "archives/partial"):
            (apt / part).mkdir(parents=True, exist_ok=True)
        (apt / "status").touch()
        options = [
            *("-qq", "-o", "APT::Architecture=arm64", "-o", "APT::Architectures=arm64"),
            *("-o", f"Dir::State={apt}", "-o", f"Dir::State::status={apt}/status"),
            *("-o", f"Dir::Cache={apt}", "-o", "Debug::NoLocking=1"),
        ]
        _do(["apt-get", *options, "update"])
        _do(["apt-get", *options, "install", "-y", "--download-only", "--no-install-recommends", *DEBS])
        for package in (apt / "archives").glob("*.deb"):
            _do(["dpkg-deb", "-x", package, self.root])
        processors = self.root / "sys" / "devices" / "system" / "cpu"
        processors.mkdir(parents=True, exist_ok=True)
        for name in ("possible", "present"):
            (processors / name).write_text("0\n")
        (self.root / "proc").mkdir(exist_ok=True)

    def _install(self, names: Sequence[str], *options: str) -> None:
        platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
        pinned = [f"{name}=={metadata.version(name)}" for name in names]
        command = ["pip", "install", "-q", "--only-binary=:all:", "--python-version", "3.11", *platforms]
        _do([sys.executable, "-m", *command, "--target", self.site, "--upgrade", *options, *pinned])

    def run(self, core: Core, model: Path, clips: Floats, times: int) -> tuple[int, Floats]:
        """The instructions of a process that goes over (n, 1, mels, frames), and what it says, (n, ...)."""
        (self.root / "proc" / "cpuinfo").write_text(core.cpuinfo())
        with tempfile.TemporaryDirectory() as scratch:
            heard, said = Path(scratch) / "clips", Path(scratch) / "said"
            clips.astype(np.float32).tofile(heard)
            counts = [len(clips), *clips.shape[2:], times]
            emulator = ["qemu-aarch64", "-cpu", core.cpu, "-L", self.root, "-plugin", self.plugin]
            emulator += ["-E", "PYTHONHASHSEED=0"]  # Python's start would differ from run to run
            if model.suffix == ".pte":
                program = ["-E", "LD_LIBRARY_PATH=/usr/lib", self.runner]
            else:
                homes = ("-E", f"PYTHONPATH={self.site}", "-E", f"PYTHONHOME={self.root}/usr")
                program = [*homes, self.root / "usr" / "bin" / "python3.11", HERE / "arm64_run.py"]
            told = _do([*emulator, *program, model, heard, *counts, said])
            found = _EXECUTED.search(told)
            assert found, told
            return int(found[1]), np.fromfile(said, np.float32).reshape(len(clips), -1)


def _do(command: Sequence[object]) -> str:
    """Run it; what it told on stderr."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(str(word) for word in command)}\n{done.stderr[-2000:]}")
    return done.stderr


def count(tools: Tools, made: Path, artifacts: Sequence[Path]) -> dict[str, Any]:
    """Every file of every student on every core."""
    families = {}
    for path in artifacts:
        quantized = Artifact.open(path, ArtifactKind.QUANTIZED)
        family = family_of(quantized)
        files = {title: system.file(quantized, made / family) for title, system in SYSTEMS.items()}
        clips = _clips(made / family)
        found = {}
        for title, file in track(list(files.items()), len(files), family):
            found[title] = _file_row(tools, file, clips)
        families[family] = found
    return {
        "families": families,
        "clips": CLIPS,
        "cores": [core.name for core in CORES],
        "emulator": _do(["sh", "-c", "qemu-aarch64 --version | head -1 >&2"]).strip(),
        "environment": environment(),
    }


def _clips(made: Path) -> Floats:
    """The clip that pareto.py timed, shifted in time, by more each time."""
    first = np.load(made / "clip.npy")
    frames = first.shape[3]
    shifts = [number * frames // CLIPS for number in range(CLIPS)]
    return np.concatenate([np.roll(first, shift, axis=3) for shift in shifts])


def _file_row(tools: Tools, file: Path, clips: Floats) -> dict[str, Any]:
    host = AnyRunner(file)
    outputs = [host.run(clip[None]) for clip in clips]
    here = np.stack([np.concatenate([one.embedding[0], one.logits[0]]) for one in outputs])
    row: dict[str, Any] = {"bytes": file.stat().st_size, "instructions": {}, "host": {}}
    for core in CORES:
        few, _ = tools.run(core, file, clips, FEW)
        many, said = tools.run(core, file, clips, MANY)
        row["instructions"][core.name] = round((many - few) / (CLIPS * (MANY - FEW)))
        row["host"][core.name] = {
            "equal": float((said == here).mean()),
            "largest_difference": float(np.abs(said - here).max()),
        }
    return row


def main() -> None:
    """See the module's docstring."""
    tools = Tools(Path(sys.argv[2]).resolve())
    if sys.argv[1] == "prepare":
        tools.prepare()
        say(f"ready: {tools.folder}")
    else:
        write_json(RESULT, count(tools, Path(sys.argv[3]), [Path(word) for word in sys.argv[4:]]))
        say(f"{RESULT.name} is written")


if __name__ == "__main__":
    main()
