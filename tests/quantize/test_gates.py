"""Gates on drawn outputs whose answers are known, and biases that no int32 can hold."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from acula_edge.artifact import Artifact
from acula_edge.data.recording import Recording, Split
from acula_edge.data.tasks import ClassRule, Task
from acula_edge.errors import GateError
from acula_edge.evidence.fidelity import Fidelity, FloatEffect
from acula_edge.evidence.gates import Gate, Gates, gate_table
from acula_edge.evidence.intervals import Draws
from quantize.gates import Evidence, best_layer, judge, lower_end, require
from quantize.gates_config import Drop, GatesConfig, Least
from quantize.hearing import FILES, FLOAT, Heard
from quantize.layers import layers_of
from quantize.overflow import graph_biases, require_biases, tflite_biases
from tests.models import NO_GATES
from tests.quantize.conftest import Graph

_PATIENTS = 60
_TASKS = tuple(
    Task(
        name=name,
        dataset=name,
        classes=(ClassRule(name="no", values=("0",)), ClassRule(name="yes", values=("1",))),
    )
    for name in ("heart", "lung")
)


def _recording(dataset: str, patient: int, label: int) -> Recording:
    name = f"{dataset}/{patient}"
    return Recording(
        id=name, path="", dataset=dataset, patient=name, group=name, split=Split.VAL, sample_rate_hz=4000,
        start=0, n_samples=1, sha256="", labels={dataset: label},
    )  # fmt: skip


def _heard(noise: float) -> Heard:
    """Two tasks; INT8 .pte is the float one, INT8 .tflite has that much noise on it."""
    rng = np.random.default_rng(0)
    recordings = [
        _recording(task.name, patient, patient % 2) for task in _TASKS for patient in range(_PATIENTS)
    ]
    labels = np.array([patient % 2 for _ in _TASKS for patient in range(_PATIENTS)])
    logits = (2 * labels[:, None] + rng.normal(size=(len(labels), 2))).astype(np.float32)
    embedding = rng.normal(size=(len(labels), 8)).astype(np.float32)
    noisy = [
        part + rng.normal(scale=noise, size=part.shape).astype(np.float32) for part in (logits, embedding)
    ]
    return Heard(
        _TASKS,
        recordings,
        {FLOAT: embedding, "int8_pte": embedding, "int8_tflite": noisy[1]},
        {FLOAT: logits, "int8_pte": logits, "int8_tflite": noisy[0]},
    )


def _judged(config: GatesConfig, heard: Heard, mini: Artifact) -> dict[tuple[str, str, str], Gate]:
    found = Fidelity.model_validate(mini.read_json("fidelity.json"))
    evidence = Evidence(heard, found, mini.read_json("ops.json"), mini.path, seed=0)
    return {(gate.gate, gate.file, gate.scope): gate for gate in judge(config, evidence).gates}


def test_a_noisy_file_fails_each_gate_and_an_equal_one_passes(mini_quantized: Artifact) -> None:
    config = NO_GATES.model_copy(
        update={
            "max_auroc_drop": Drop(mean=0.05, task=0.05),
            "non_inferiority_margin": Drop(mean=0.02, task=0.02),
            "min_embedding_cka": Least(mean=0.9, task=0.9),
            "min_neighbour_overlap": Least(mean=0.7, task=0.7),
        }
    )
    gates = _judged(config, _heard(noise=5.0), mini_quantized)
    assert len(gates) == 4 * 2 * 3
    for (_, file, _), gate in gates.items():
        assert gate.passed == (file == "model.pte")
    assert gates["max_auroc_drop", "model.pte", "mean"].value == 0
    assert gates["min_neighbour_overlap", "model.pte", "mean"].value == 1


def test_a_drop_is_scikit_learns_and_its_lower_end_is_below_it(mini_quantized: Artifact) -> None:
    heard = _heard(noise=1.0)
    config = NO_GATES.model_copy(
        update={"max_auroc_drop": Drop(task=1.0), "non_inferiority_margin": Drop(mean=0.5, task=0.5)}
    )
    gates = _judged(config, heard, mini_quantized)
    for column, task in enumerate(_TASKS):
        rows = [row for row, recording in enumerate(heard.recordings) if task.name in recording.labels]
        labels = [heard.recordings[row].labels[task.name] for row in rows]
        before, after = (
            roc_auc_score(labels, heard.logits[name][rows, column]) for name in (FLOAT, "int8_tflite")
        )
        assert gates["max_auroc_drop", FILES["int8_tflite"], task.name].value == pytest.approx(before - after)
        lowest = gates["non_inferiority_margin", FILES["int8_tflite"], task.name].value
        assert lowest is not None
        assert after - before - 0.15 < lowest < after - before
    assert ("max_auroc_drop", "model.tflite", "mean") not in gates
    assert ("non_inferiority_margin", "model.tflite", "mean") in gates


def test_the_lower_end_is_one_sided() -> None:
    resampled = np.arange(1000) / 1000
    assert lower_end(Draws(0.5, resampled, patients=10)) == pytest.approx(np.percentile(resampled, 5))
    assert lower_end(Draws(0.5, resampled, patients=1)) is None


def test_small_tasks_are_not_asked(mini_quantized: Artifact) -> None:
    config = NO_GATES.model_copy(
        update={"max_auroc_drop": Drop(mean=0.01, task=0.01), "fewest_recordings": _PATIENTS + 1}
    )
    assert _judged(config, _heard(5.0), mini_quantized) == {}


def test_files_are_asked_for_size_and_operators(mini_quantized: Artifact) -> None:
    sizes = {entry.name: entry.bytes for entry in mini_quantized.manifest.files}
    config = NO_GATES.model_copy(update={"max_undelegated_ops": 2, "max_size_bytes": sizes["model.tflite"]})
    gates = _judged(config, _heard(0.0), mini_quantized)
    assert gates["max_size_bytes", "model.tflite", "file"].passed
    assert gates["max_size_bytes", "model_pcm.tflite", "file"].value == sizes["model_pcm.tflite"]
    assert not gates["max_size_bytes", "model_pcm.tflite", "file"].passed
    assert gates["max_undelegated_ops", "model.pte", "file"].value == 0
    assert gates["max_undelegated_ops", "model_pcm.pte", "file"].value == 3
    assert not gates["max_undelegated_ops", "model_pcm.pte", "file"].passed


def test_a_failure_names_gates_figures_and_the_mend(mini_quantized: Artifact) -> None:
    found = Fidelity.model_validate(mini_quantized.read_json("fidelity.json"))
    effects = tuple(
        FloatEffect(layer=name, auroc=gain, error=0.1) for name, gain in (("a", 0.0), ("b", 0.02))
    )
    found = found.model_copy(update={"float_effects": effects})
    config = NO_GATES.model_copy(update={"max_size_bytes": 1000})
    evidence = Evidence(_heard(0.0), found, {}, mini_quantized.path, seed=0)
    judged = judge(config, evidence)
    with pytest.raises(
        GateError, match=r"max_size_bytes of model\.pte \(file\) is \S+, bound 1000"
    ) as caught:
        require(judged)
    assert str(caught.value).endswith("or loosen quantize.gates.max_size_bytes")
    score = Gate(gate="min_embedding_cka", file="model.pte", scope="mean", value=0.5, bound=0.9, passed=False)
    with pytest.raises(GateError, match=r'quantize\.scheme\.float_modules = \["b"\]; or train'):
        require(Gates(gates=(*judged.gates, score), leave_float="b"))
    assert [row[-1].text for row in gate_table(judged).rows] == ["FAILED"] * 4
    require(judge(NO_GATES, evidence))


def test_the_layer_to_leave_float_gives_back_most() -> None:
    def effect(layer: str, auroc: float | None, error: float) -> FloatEffect:
        return FloatEffect(layer=layer, auroc=auroc, error=error)

    assert best_layer((effect("a", 0.01, 0.0), effect("b", 0.03, -0.1))) == "b"
    assert best_layer((effect("a", 0.0, 0.2), effect("b", -0.1, 0.4))) == "b"
    assert best_layer((effect("a", None, 0.2), effect("b", None, 0.1))) == "a"
    assert best_layer((effect("a", -0.1, -0.2),)) is None
    assert best_layer(()) is None


def test_a_bias_beyond_int32_is_refused_and_named(graph: Graph) -> None:
    changed = copy.deepcopy(graph.quantised)
    layer = layers_of(changed)[4]
    assert layer.weight is not None
    scales = getattr(changed, str(layer.weight.all_input_nodes[1].target))
    require_biases("model.pte", graph_biases(changed))
    name, bias, steps = list(graph_biases(changed))[4]
    assert name == layer.name
    at = int(np.abs(bias).argmax())
    with torch.no_grad():
        scales[at] *= float(np.abs(bias[at]) / steps[at] / (2.0**31) / 1.01)
    with pytest.raises(GateError, match=rf"model\.pte: the bias of {layer.name} \(channel {at}\)"):
        require_biases("model.pte", graph_biases(changed))


def test_biases_of_both_files_are_the_same_numbers(graph: Graph, mini_quantized: Artifact) -> None:
    files: list[Path] = [mini_quantized.file(name) for name in ("float.tflite", "model.tflite")]
    found = {name: (bias, steps) for name, bias, steps in tflite_biases(*files, layers_of(graph.quantised))}
    ours = {name: (bias, steps) for name, bias, steps in graph_biases(graph.quantised)}
    assert set(found) == set(ours) - {"embedding"}  # whose bias is an addition of its own there
    del found["head"]  # it reads the embedding before that addition, and its bias makes up for it
    for name, (bias, steps) in found.items():
        np.testing.assert_allclose(bias, ours[name][0], atol=1e-4)
        if name != "trunk.0":  # all others stand behind a ReLU6, whatever clips were heard
            np.testing.assert_allclose(steps, ours[name][1], rtol=1e-2)
    require_biases("model.tflite", tflite_biases(*files, layers_of(graph.quantised)))
