"""The C library beside LiteRT's reference kernels, layer by layer: silent where it is right, and exact."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.spread import spread_clips
from acula_edge.errors import GateError, ToolError
from acula_edge.runtime.hop import Hop
from targets.stethoscope import host
from targets.stethoscope.host import compile_probe, hear
from targets.stethoscope.walk import NAME, differences, walk
from tests.targets.stethoscope.host import Model


@pytest.fixture(scope="module")
def clip(mini_dataset: Artifact) -> np.ndarray:
    return spread_clips(Dataset.open(mini_dataset), Split.VAL, 4, seed=3).pcm[:1]


def _walked(model: Model, library: Path, folder: Path) -> Hop:
    heard = hear(compile_probe(library, folder), model.firmware, model.pcm[0])
    return Hop(NAME, tuple(differences(model.path, model.firmware, heard, model.pcm[:1])))


def _changed(folder: Path, file: str, array: str, out: Path) -> Path:
    """A copy of a library in which the first number of an array has another last digit, or exponent."""
    library = shutil.copytree(folder, out)
    source = (library / "src" / file).read_text()
    head, name, rest = source.partition(f"{array}[")
    start = rest.index("{") + 1
    number = rest[start:].split(",")[0]
    place = start + max(at for at, letter in enumerate(number) if letter.isdigit())
    changed = head + name + rest[:place] + ("1" if rest[place] == "0" else "0") + rest[place + 1 :]
    (library / "src" / file).write_text(changed)
    return library


@pytest.mark.parametrize("name", ["odd", "whole"])
def test_every_layer_of_every_hop_is_the_reference(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A causal network that runs in many hops, and the same one in a single hop."""
    model: Model = request.getfixturevalue(name)
    assert (model.firmware.hops.count > 1) is (name == "odd")
    hop = _walked(model, request.getfixturevalue(f"{name}_folder"), tmp_path)
    assert hop.passed
    exact = [layer for layer in hop.layers if layer.layer != "front end in float64"]
    assert {layer.value for layer in exact} == {0.0}
    assert len(exact) == 1 + len(model.firmware.network.layers)


def test_a_wrong_weight_is_found_in_its_layer(odd: Model, odd_folder: Path, tmp_path: Path) -> None:
    library = _changed(odd_folder, "acula_network.c", "int8_t weights_4", tmp_path / "library")
    hop = _walked(odd, library, tmp_path)
    assert hop.culprit is not None
    assert hop.culprit.layer == odd.firmware.network.layers[4].name


def test_a_stethoscope_is_walked_by_its_own_sources(
    bundle: Artifact, clip: np.ndarray, tmp_path: Path
) -> None:
    names = [f"layer {place}" for place in range(18)]
    sound = walk(bundle, clip, names)
    assert sound.passed
    # A linear layer's bias is an operator of its own in the file, and belongs to the layer.
    assert [*dict.fromkeys(layer.layer for layer in sound.layers)][2:] == names
    broken = _changed(bundle.path, "acula_tables.c", "float acula_gains", tmp_path / "gains")
    culprit = walk(Artifact.open(broken), clip).culprit
    assert culprit is not None
    assert culprit.layer == "front end"
    source = broken / "src" / "acula_network.c"
    source.write_text(source.read_text().replace(";", " ", 1))
    with pytest.raises(GateError, match="gcc refused the sources"):
        walk(Artifact.open(broken), clip)


def test_any_int8_tflite_gets_a_library(mini_bundle: Artifact, clip: np.ndarray) -> None:
    hop = walk(mini_bundle, clip)
    assert hop.passed


def test_without_a_compiler_it_says_what_to_install(
    mini_bundle: Artifact, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host.shutil, "which", lambda _tool: None)
    with pytest.raises(ToolError, match="gcc not found; run: apt install gcc") as caught:
        walk(mini_bundle, clip)
    assert caught.value.exit_code == 4
