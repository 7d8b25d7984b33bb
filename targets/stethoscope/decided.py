"""Decided: the firmware's decisions on the golden clips, against those of the .tflite that takes PCM.

The network of both is the same, bit by bit by LiteRT's reference kernels, but each has its own front end in
single precision: now and then a feature that lies where rounding turns goes up in one and down in the other.
LiteRT's default kernels round on their own, too. A decision may only differ where the logit lies next to a
limit of its rule.
"""

from __future__ import annotations

import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acula_edge.artifact import Artifact
from acula_edge.data.metrics import logit_slices
from acula_edge.evidence.decisions import Decision, Decisions
from acula_edge.runtime.divert import divert_output
from acula_edge.runtime.golden import GOLDEN, Golden
from targets.facts import Labels
from targets.stethoscope.network import Network

MODEL_PCM, PREFIX = "model_pcm.tflite", "tflite_pcm"
GOLDEN_TEST = "test/golden.bin"
MOST_STEPS = 3  # from a limit, in INT8 steps of a logit; benchmarks/firmware_paths.py finds 2 at most

Steps = NDArray[np.int64]


@dataclass(frozen=True)
class Decided:
    """How many of `decisions` on single clips differ from those of a .tflite by some kernels.

    A limit of the rule lies between the two logits of each that differs: `steps_from_a_limit` at most.
    """

    kernels: str
    decisions: int
    different: int
    steps_from_a_limit: int

    @property
    def passed(self) -> bool:
        """Whether decisions differ next to a limit only."""
        return self.steps_from_a_limit <= MOST_STEPS

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "against": MODEL_PCM, "most_steps": MOST_STEPS, "passed": self.passed}


def decided(bundle: Artifact, network: Network) -> tuple[Decided, ...]:
    """The golden clips by LiteRT's reference kernels here, and by its default ones when the bundle was built.

    What the library gives is read from golden.bin: the test on the board holds the library to it, bit by bit.
    """
    golden = Golden.read(bundle.file(GOLDEN))
    own = _expected(bundle.file(GOLDEN_TEST), golden.pcm.shape, network)
    labels = Labels.model_validate(bundle.read_json("labels.json"))
    rules = Decisions.model_validate(bundle.read_json("thresholds.json"))
    others = {
        "reference kernels": _reference(bundle.file(MODEL_PCM), golden.pcm),
        "default kernels": golden.outputs[PREFIX].logits,
    }
    return tuple(
        _compared(kernels, own, _steps(logits, network), network, rules, labels)
        for kernels, logits in others.items()
    )


def _steps(logits: NDArray[np.float32], network: Network) -> Steps:
    grid = network.logits.grid
    return np.rint(logits.astype(np.float64) / grid.scale + grid.zero_point).astype(np.int64)


def _expected(path: Path, shape: tuple[int, ...], network: Network) -> Steps:
    """Logits of golden.bin, (n, K) in steps; see `bundle.golden_test`."""
    content = path.read_bytes()
    n_logits = network.logits.size_bytes
    rows = np.frombuffer(content, np.int8, offset=struct.calcsize("<I")).reshape(shape[0], -1)
    return rows[:, -n_logits:].astype(np.int64)


def _reference(model: Path, pcm: NDArray[np.int16]) -> NDArray[np.float32]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with divert_output():
        interpreter = Interpreter(
            model_path=str(model), experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
        )
        interpreter.allocate_tensors()
        run = interpreter.get_signature_runner()
        (name,) = run.get_input_details()
        return np.concatenate([run(**{name: clip[None]})["logits"] for clip in pcm])


def _compared(
    kernels: str, own: Steps, other: Steps, network: Network, rules: Decisions, labels: Labels
) -> Decided:
    grid, slices = network.logits.grid, logit_slices(labels.tasks)

    def decide(steps: Steps) -> list[dict[str, Decision]]:
        real = (steps - grid.zero_point) * grid.scale
        return [rules.decide(labels.tasks, row) for row in real]

    pairs = list(zip(decide(own), decide(other), strict=True))
    far = [
        abs(int(own[clip, slices[task].start] - other[clip, slices[task].start]))
        for clip, (one, two) in enumerate(pairs)
        for task in one
        if one[task] is not two[task]
    ]
    return Decided(kernels, sum(len(one) for one, _ in pairs), len(far), max(far, default=0))
