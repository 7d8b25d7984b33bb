"""A generated library on this machine: written to a folder, compiled, and run or called."""

from __future__ import annotations

import ctypes
import subprocess
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acula_edge.contract import AudioContract
from acula_edge.evidence.decisions import Decisions
from targets.facts import Labels
from targets.stethoscope.bundle import golden_test
from targets.stethoscope.cores import CFLAGS, WARNINGS
from targets.stethoscope.frontend import features
from targets.stethoscope.hops import whole_clip
from targets.stethoscope.kernels import Kernels
from targets.stethoscope.library import Excerpt, Firmware, library_files, make_firmware, shipped_files
from targets.stethoscope.lowering import read_network
from targets.stethoscope.reference import Answers, reference_answers

STATE_BYTES = 1 << 20  # more than any state
SANITISE = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@dataclass(frozen=True)
class Model:
    """A .tflite with its contract, real clips, and what the reference kernels make of them."""

    path: Path
    contract: AudioContract
    labels: Labels
    decisions: Decisions
    pcm: NDArray[np.int16]
    whole: bool = False
    kernels: Kernels = field(default_factory=Kernels)

    @cached_property
    def firmware(self) -> Firmware:
        """Hop by hop if the student is causal and not `whole`."""
        network = read_network(self.path)
        hops = whole_clip(network) if self.whole else None
        return make_firmware(network, self.contract, self.labels, self.decisions, "0", hops, self.kernels)

    @cached_property
    def answers(self) -> Answers:
        return self.answers_of(self.path)

    def answers_of(self, path: Path) -> Answers:
        """What another .tflite of the same shape makes of the clips."""
        return reference_answers(path, self.firmware.network, self.features)

    @cached_property
    def features(self) -> NDArray[np.int8]:
        return features(self.pcm, self.contract, self.firmware.tables)

    def write(self, folder: Path, answers: Answers | None = None) -> Path:
        """The library and its test, which expects `answers`; the golden sound is the last clip, whole."""
        excerpt = Excerpt(self.pcm[-1], self.answers.embedding[-1], self.answers.logits[-1])
        texts = library_files(self.firmware, excerpt)
        texts |= {f"test/{name}": text for name, text in shipped_files("test").items()}
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        (folder / "test" / "golden.bin").write_bytes(golden_test(self.pcm, answers or self.answers))
        return folder


def compile_host(library: Path, compiler: str, out: Path, *flags: str, tests: bool = True) -> Path:
    """The test program of a library, or its shared object, by a compiler of this machine."""
    sources = [*sorted((library / "src").glob("*.c"))]
    sources += [library / "test" / "acula_test.c"] if tests else []
    includes = [f"-I{library / name}" for name in ("include", "src", "test")]
    command = [compiler, *CFLAGS, *WARNINGS, *flags, *includes, *map(str, sources), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def run_host(program: Path, folder: Path) -> tuple[int, dict[str, int], list[str]]:
    """Exit code, values by name, and what failed."""
    done = subprocess.run([str(program)], cwd=folder, capture_output=True, text=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    values = {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[0] != "failed"}
    return done.returncode, values, [done.stderr, *(" ".join(w[1:]) for w in lines if w[0] == "failed")]


class Library:
    """The shared object of a model, called through ctypes."""

    def __init__(self, model: Model, shared: Path) -> None:
        network = model.firmware.network
        n_embedding, n_logits = network.embedding.size_bytes, network.logits.size_bytes

        class Result(ctypes.Structure):
            _fields_ = (
                ("embedding", ctypes.c_int8 * n_embedding),
                ("logits", ctypes.c_int8 * n_logits),
                ("probabilities", ctypes.c_uint16 * n_logits),
                ("hops", ctypes.c_int32),
                ("whole", ctypes.c_bool),
            )

        self._c = ctypes.CDLL(str(shared))
        self._c.acula_push_pcm.restype = ctypes.c_size_t
        self._state = ctypes.create_string_buffer(STATE_BYTES)
        self._result = Result()
        self._c.acula_init(self._state)

    def push(self, pcm: NDArray[np.int16]) -> int:
        """How many samples were taken."""
        pcm = np.ascontiguousarray(pcm)
        taken: int = self._c.acula_push_pcm(
            self._state, ctypes.c_void_p(pcm.ctypes.data), ctypes.c_size_t(pcm.size)
        )
        return taken

    def poll(self) -> int:
        """The status; the answer can be read then."""
        status: int = self._c.acula_poll(self._state, ctypes.byref(self._result))
        return status

    def load_head(self, content: bytes) -> int:
        """The status; the bytes are kept, as the library reads them later."""
        self._head = np.frombuffer(content, np.uint8).copy()
        address = ctypes.c_void_p(self._head.ctypes.data)
        status: int = self._c.acula_load_head(self._state, address, ctypes.c_size_t(len(content)))
        return status

    def selftest(self) -> int:
        status: int = self._c.acula_selftest(self._state)
        return status

    def answer(self, clip: NDArray[np.int16]) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """Embedding and logits of a clip."""
        assert self.push(clip) == clip.size
        assert self.poll() == 0
        assert self._result.whole
        return np.array(self._result.embedding, np.int8), self.logits

    @property
    def logits(self) -> NDArray[np.int8]:
        """Of the last answer."""
        return np.array(self._result.logits, np.int8)

    def decide(self, logit: int, total: int, clips: int) -> int:
        """The decision's number in acula.h."""
        found: int = self._c.acula_decide(ctypes.c_int32(logit), ctypes.c_int32(total), ctypes.c_int32(clips))
        return found

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Of the last answer, from 0 to 1."""
        return np.array(self._result.probabilities) / 32768.0
