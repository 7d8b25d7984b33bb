"""A spoiled bundle, the whole one that teaches it, and what comes of it, on real recordings."""

from __future__ import annotations

from pathlib import Path

import pytest

from acula_edge.artifact import Artifact
from distill.adapt.export import export
from distill.adapt.run import AdaptInputs, run
from tests.distill.adapt.device import CONFIG, some_recordings, spoil


@pytest.fixture(scope="session")
def shipped(mini_bundle: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """What runs in the stethoscope: `mini_bundle`, whose last layers lost some of what they knew."""
    return spoil(mini_bundle, tmp_path_factory.mktemp("shipped") / "bundle", noise=0.5)


@pytest.fixture(scope="session")
def recordings(mini_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings that the device took."""
    return some_recordings(mini_folder, tmp_path_factory.mktemp("device"))


@pytest.fixture(scope="session")
def graphs(shipped: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The training graphs of `shipped`."""
    return export(CONFIG.lesson, shipped, tmp_path_factory.mktemp("graphs") / "graphs")


@pytest.fixture(scope="session")
def adaptation(
    shipped: Artifact,
    mini_bundle: Artifact,
    recordings: Path,
    graphs: Artifact,
    tmp_path_factory: pytest.TempPathFactory,
) -> Artifact:
    """What `adapt run` makes of them."""
    inputs = AdaptInputs(shipped, mini_bundle, sorted(recordings.iterdir()), graphs)
    return run(CONFIG, inputs, tmp_path_factory.mktemp("adaptation") / "adaptation")
