"""From samples to decision: the firmware against the .tflite that takes PCM, on real recordings.

The two can not be equal bit by bit. LiteRT runs that file with XNNPACK, whose kernels round otherwise than
the reference kernels, which the firmware equals; and both front ends work in single precision, so that a
feature at the border of two steps may fall to either side. What must hold is stated here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from acula_edge.artifact import Artifact
from acula_edge.evidence.decisions import Decision, Decisions, Rule, positives
from tests.targets.stethoscope.host import Model

# By the kernels that LiteRT runs: steps of a logit, and the share of all decisions that may differ.
BOUNDS = {"BUILTIN_REF": (2, 0.02), "AUTO": (4, 0.12)}


@pytest.mark.parametrize("kernels", BOUNDS)
def test_decisions_follow_the_file_that_takes_pcm(
    kernels: str, usual: Model, mini_quantized: Artifact
) -> None:
    """Rules whose limits lie in the midst of the clips: the hardest ones there are."""
    tasks, grid = usual.labels.tasks, usual.firmware.network.logits.grid
    others = _logits(mini_quantized.file("model_pcm.tflite"), kernels, usual.pcm)
    own = grid.scale * (usual.answers.logits.astype(np.float64) - grid.zero_point)
    most_steps, most_different = BOUNDS[kernels]
    assert np.abs(own - others).max() / grid.scale < most_steps + 0.5
    rules = _rules(usual, own)
    found, expected = ([rules.decide(tasks, row) for row in logits] for logits in (own, others))
    pairs = [(one[task], two[task]) for one, two in zip(found, expected, strict=True) for task in one]
    assert {decision for _, decision in pairs} == set(Decision)
    assert np.mean([one != two for one, two in pairs]) <= most_different


def _rules(model: Model, logits: NDArray[np.float64]) -> Decisions:
    """Of every binary task; a third of the clips is left undecided."""
    tasks = {own.task: own for own in model.decisions.tasks}
    for task, own, positive in positives(model.decisions, model.labels.tasks, logits):
        low, middle, high = np.quantile(positive, [1 / 3, 1 / 2, 2 / 3])
        rule = Rule(threshold=middle, chosen_by="test", abstain_from=low, abstain_to=high, coverage=0.9)
        tasks[task.name] = own.model_copy(update={"rule": rule})
    return Decisions(tasks=tuple(tasks.values()))


def _logits(model: Path, kernels: str, pcm: NDArray[np.int16]) -> NDArray[np.float64]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=str(model), experimental_op_resolver_type=OpResolverType[kernels], num_threads=1
    )
    run = interpreter.get_signature_runner()
    (name,) = run.get_input_details()
    return np.stack([run(**{name: clip[None]})["logits"][0] for clip in pcm]).astype(np.float64)
