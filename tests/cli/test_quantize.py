"""`acula-edge quantize` on a real bundle."""

from __future__ import annotations

import json

from acula_edge.artifact import Artifact
from acula_edge.evidence.fidelity import Fidelity
from tests.cli.conftest import Run


def test_inspect_shows_every_layer_of_bundle_and_graphs(
    run: Run, mini_bundle: Artifact, mini_quantized: Artifact
) -> None:
    shown = run("quantize", "inspect", str(mini_bundle.path))
    assert shown.code == 0
    assert shown.out == run("quantize", "inspect", str(mini_quantized.path)).out
    found = Fidelity.model_validate(mini_bundle.read_json("fidelity.json"))
    rows = shown.out.splitlines()
    for layer in found.layers["model.pte"]:
        assert any(row.split()[:2] == [layer.layer, layer.kind] for row in rows)
    assert "Research software, not a medical device." in shown.out


def test_inspect_as_json_is_the_file(run: Run, mini_bundle: Artifact) -> None:
    shown = run("quantize", "inspect", str(mini_bundle.path), "--json")
    assert json.loads(shown.out) == mini_bundle.read_json("fidelity.json")


def test_inspect_of_something_else_says_so(run: Run, mini_dataset: Artifact) -> None:
    shown = run("quantize", "inspect", str(mini_dataset.path))
    assert shown.code == 1
    assert "lists no file fidelity.json" in shown.err
