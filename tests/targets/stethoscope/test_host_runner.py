"""The library of a bundle as a runtime of this machine, and recordings scored by it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from acula_edge.artifact import Artifact
from acula_edge.bench.config import BenchConfig
from acula_edge.bench.folder import FolderBench, bench_folder
from acula_edge.bench.stage import BenchInputs
from acula_edge.bench.stage import run as make_report
from acula_edge.contract import AudioContract
from acula_edge.errors import ContractError
from acula_edge.runtime.golden import Golden
from targets.stethoscope import host
from targets.stethoscope.frontend import features, make_tables
from targets.stethoscope.host_runner import HostRunner, library_of
from targets.stethoscope.lowering import read_network
from targets.stethoscope.reference import reference_answers
from tests.cli.conftest import Run, run  # noqa: F401

_FEW = BenchConfig(bootstrap_resamples=100)


@pytest.fixture(scope="module")
def scored(bundle: Artifact, mini_folder: Path) -> FolderBench:
    return bench_folder(bundle, mini_folder, _FEW, library_of(bundle))


def test_it_gives_the_bits_of_the_reference(bundle: Artifact) -> None:
    pcm = Golden.read(bundle.file("golden.npz")).pcm
    network = read_network(bundle.file("model.tflite"))
    found = HostRunner(bundle).run(np.concatenate([pcm, pcm[::-1]]))
    contract = AudioContract.of(bundle.manifest.contract)
    made = features(pcm, contract, make_tables(contract, network.features.grid))
    expected = reference_answers(bundle.file("model.tflite"), network, made)
    for real, steps, grid in (
        (found.embedding, expected.embedding, network.embedding.grid),
        (found.logits, expected.logits, network.logits.grid),
    ):
        assert real.dtype == np.float32
        twice = np.concatenate([steps, steps[::-1]])  # no clip leaves anything behind
        np.testing.assert_array_equal(np.rint(real / grid.scale + grid.zero_point), twice)
    with pytest.raises(ContractError, match="takes int16 items"):
        HostRunner(bundle).run(pcm.astype(np.float32))


def test_recordings_are_scored_by_the_library(scored: FolderBench) -> None:
    names = [system.system for system in scored.result.accuracy.systems]
    assert names == ["student", "int8_tflite", "int8_c"]
    assert "int8_c" in {point.system for point in scored.result.operating}
    by_file, by_library = scored.logits["int8_tflite"], scored.logits["int8_c"]
    assert by_file.shape == by_library.shape
    assert np.corrcoef(by_file.ravel(), by_library.ravel())[0, 1] > 0.999
    against = [(one.system, one.against) for one in scored.result.accuracy.differences]
    assert ("int8_c", "int8_tflite") in against


def test_without_a_compiler_the_report_says_so(
    bundle: Artifact, mini_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host.shutil, "which", lambda _tool: None)
    found = bench_folder(bundle, mini_folder, _FEW, library_of(bundle)).result
    assert [system.system for system in found.accuracy.systems] == ["student", "int8_tflite"]
    assert any(
        "C library was not run: gcc not found; run: apt install gcc" in text for text in found.warnings
    )


def test_only_a_bundle_with_sources_has_a_library(mini_bundle: Artifact, mini_teacher: Artifact) -> None:
    assert library_of(mini_bundle) is None
    assert library_of(mini_teacher) is None


def test_the_command_scores_by_the_library(run: Run, bundle: Artifact, mini_folder: Path) -> None:  # noqa: F811
    done = run("bench", bundle.path, "--data", mini_folder, "--json")
    assert done.code == 0, done.err
    (system,) = (one for one in json.loads(done.out)["accuracy"]["systems"] if one["system"] == "int8_c")
    assert (system["title"], system["ran_in"]) == ("Student, INT8 C library", "C on this machine")


def test_a_builds_report_has_the_library_too(
    bundle: Artifact, mini_dataset: Artifact, mini_teacher: Artifact, tmp_path: Path
) -> None:
    inputs = BenchInputs(bundle, mini_dataset, mini_teacher, library=library_of(bundle))
    quick = _FEW.model_copy(update={"latency_runs": 1, "warmup": 0, "threads": (1,)})
    report = make_report(quick, inputs, tmp_path / "report")
    systems = report.read_json("accuracy.json")["systems"]
    assert [system["system"] for system in systems][-2:] == ["int8_tflite", "int8_c"]
    rows = report.read_json("scores.json")["recordings"].values()
    assert all(len(row["logits"]["int8_c"]) == len(row["logits"]["int8_tflite"]) for row in rows)
    assert "Student, INT8 C library" in report.file("report.md").read_text(encoding="utf-8")
