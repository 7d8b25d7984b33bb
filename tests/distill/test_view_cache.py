"""The cache of views: kept through a kill, made again where damaged, and never taken for another."""

from __future__ import annotations

import errno
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from acula_edge.artifact import Artifact
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Recording
from acula_edge.errors import ArtifactError
from distill.augment_config import AugmentConfig, SpectrogramConfig
from distill.maker import ViewMaker
from distill.shards import Shard
from distill.views import Views
from tests.distill.conftest import Make
from tests.processes import fresh_process

PLAIN = AugmentConfig(views=1)


@pytest.fixture
def third(some: list[Recording], monkeypatch: pytest.MonkeyPatch) -> int:
    """Recordings in a shard, so that `some` are three shards."""
    size = -(-len(some) // 3)
    monkeypatch.setattr("distill.views._SHARD_RECORDINGS", size)
    return size


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[range]:
    """The shards that are made in a test, in order."""
    parts: list[range] = []
    shard = ViewMaker.shard

    def counted(self: ViewMaker, part: range) -> Shard:
        parts.append(part)
        return shard(self, part)

    monkeypatch.setattr(ViewMaker, "shard", counted)
    return parts


def test_the_cache_is_used_again_and_depends_on_what_matters(
    make: Make, some: list[Recording], made: list[range], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys(config: AugmentConfig, recordings: list[Recording]) -> set[str]:
        make(recordings, config, tmp_path)
        return {folder.name for folder in tmp_path.iterdir()}

    first = keys(PLAIN, some)
    once = len(made)
    assert once
    other_noise = PLAIN.model_copy(update={"spectrogram": SpectrogramConfig(gain_db=0), "noise": 0.9})
    assert keys(other_noise, some) == first
    assert len(made) == once
    assert len(keys(PLAIN, some[:2])) == 2
    assert len(keys(AugmentConfig(views=2), some[:2])) == 3
    assert len(keys(AugmentConfig(views=2, noise=0.9), some[:2])) == 4
    monkeypatch.setattr("distill.maker.sources_digest", lambda *_names: "other code")
    assert len(keys(PLAIN, some[:2])) == 5


def test_a_noise_folder_counts_by_its_bytes(
    dataset: Dataset, mini_teacher: Artifact, some: list[Recording], tmp_path: Path
) -> None:
    keys = {}
    for name, level in (("a", 0.1), ("b", 0.1), ("c", 0.2)):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "tone.wav", level * np.sin(np.arange(4000)), 4000)
        config = AugmentConfig(noise_folder=tmp_path / name)
        keys[name] = ViewMaker(dataset, mini_teacher, tuple(some[:2]), config).key
    assert keys["a"] == keys["b"] != keys["c"]


def test_a_damaged_shard_is_made_again_and_no_other(
    make: Make, some: list[Recording], third: int, made: list[range], tmp_path: Path
) -> None:
    whole = make(some, PLAIN, tmp_path / "a")
    _make_two_shards(make, some, third, tmp_path / "b")
    shards = sorted(next((tmp_path / "b").iterdir()).glob("0000?"))
    assert len(shards) == 2
    features = shards[0] / "features.npy"
    features.write_bytes(features.read_bytes()[:-7])
    made.clear()
    assert _equal(make(some, PLAIN, tmp_path / "b"), whole)
    assert [part.start for part in made] == [0, 2 * third]


def test_a_flipped_bit_in_the_whole_is_noticed(
    make: Make, some: list[Recording], made: list[range], tmp_path: Path
) -> None:
    few = some[:4]
    before = np.array(make(few, PLAIN, tmp_path).logits)
    file = next(tmp_path.rglob("whole/logits.npy"))
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(bytes(data))
    assert np.array_equal(make(few, PLAIN, tmp_path).logits, before)
    assert len(made) == 2


def test_a_killed_run_goes_on_where_it_was(
    mini_dataset: Artifact, mini_teacher: Artifact, tmp_path: Path
) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from acula_edge.artifact import Artifact; from acula_edge.data.dataset import Dataset\n"
        "from acula_edge.data.recording import Split; from distill import maker, views\n"
        "from distill.augment_config import AugmentConfig\n"
        "views._SHARD_RECORDINGS, shard, made = 1, maker.ViewMaker.shard, []\n"
        "def counted(self, part):\n"
        "    if len(made) == int(sys.argv[4]): os.kill(os.getpid(), signal.SIGKILL)\n"
        "    made.append(part); return shard(self, part)\n"
        "maker.ViewMaker.shard = counted\n"
        "dataset = Dataset.open(Artifact.open(Path(sys.argv[1])))\n"
        "teacher, some = Artifact.open(Path(sys.argv[2])), dataset.of(Split.TRAIN)[-3:]\n"
        "views.make_views(dataset, teacher, some, AugmentConfig(), Path(sys.argv[3]), 'train')\n"
        "print(len(made))\n"
    )

    def run(folder: Path, killed_after: int) -> subprocess.CompletedProcess[str]:
        return fresh_process(script, mini_dataset.path, mini_teacher.path, folder, killed_after)

    assert run(tmp_path / "cut", 2).returncode == -signal.SIGKILL
    assert run(tmp_path / "cut", 99).stdout == "1\n"
    assert run(tmp_path / "whole", 99).stdout == "3\n"
    cut, whole = (next((tmp_path / name).iterdir()) for name in ("cut", "whole"))
    assert sorted(file.name for file in cut.iterdir()) == [".lock", "whole"]
    for file in (whole / "whole").iterdir():
        assert (cut / "whole" / file.name).read_bytes() == file.read_bytes()


def test_a_full_disk_is_told_in_words(
    make: Make, some: list[Recording], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(ArtifactError, match="the disk is full; make room and run the same command again"):
        make(some[:2], PLAIN, tmp_path)


def _make_two_shards(make: Make, some: list[Recording], third: int, folder: Path) -> None:
    """Of three; then fail."""
    shard = ViewMaker.shard

    def stopped(self: ViewMaker, part: range) -> Shard:
        if part.start == 2 * third:
            raise InterruptedError
        return shard(self, part)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ViewMaker, "shard", stopped)
        with pytest.raises(InterruptedError):
            make(some, PLAIN, folder)


def _equal(first: Views, second: Views) -> bool:
    fields = ("features", "embedding", "logits", "aligned", "labels", "owner", "clip", "view")
    return all(np.array_equal(getattr(first, field), getattr(second, field)) for field in fields)
