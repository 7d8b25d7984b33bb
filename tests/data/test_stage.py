"""The data stage from folder to artifact, with good folders and with each kind of bad one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pydantic import ValidationError

from acula_edge.artifact import Artifact
from acula_edge.contract import Affine, AudioContract
from acula_edge.data.config import DataConfig, SplitFractions
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.simulator import simulate
from acula_edge.data.stage import DataInputs, data_key, run
from acula_edge.data.tasks import ClassRule, Task
from acula_edge.errors import DataError, ExistsError, LeakError
from tests.data.sounds import noise, two_class_rows, write_folder, write_metadata

DEFAULT = DataConfig()
LENIENT = DataConfig(max_broken_fraction=0.5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "ward", two_class_rows())


def build(folder: Path, config: DataConfig = DEFAULT, name: str = "dataset") -> Artifact:
    return run(config, DataInputs(folder), folder.parent / name)


def test_the_artifact_is_whole_and_names_its_source(folder: Path) -> None:
    artifact = build(folder)
    dataset = Dataset.open(artifact)
    assert artifact.verify() == []
    assert artifact.manifest.key == data_key(DataConfig(), DataInputs(folder))
    assert artifact.manifest.data is not None
    assert artifact.manifest.data.splits == {split: len(dataset.of(split)) for split in Split}
    assert not dataset.simulated
    assert dataset.contract.normalisation is not None
    assert artifact.read_json("broken.json") == []
    assert not [path for path in folder.parent.iterdir() if path.name.startswith(".")]


def test_the_same_folder_gives_the_same_artifact(folder: Path) -> None:
    assert build(folder, name="one").digest == build(folder, name="two").digest


def test_the_key_follows_the_config_and_the_folder(folder: Path) -> None:
    inputs = DataInputs(folder)
    keys = {data_key(DataConfig(), inputs), data_key(DataConfig(seed=1), inputs)}
    keys.add(data_key(DataConfig(), DataInputs(None)))
    soundfile.write(folder / "p0_0.wav", noise(99), 4000)
    keys.add(data_key(DataConfig(), inputs))
    assert len(keys) == 4


def test_an_output_that_exists_is_left_alone(folder: Path) -> None:
    first = build(folder)
    with pytest.raises(ExistsError):
        build(folder)
    assert Artifact.open(first.path).digest == first.digest


def test_without_a_folder_the_recordings_are_simulated(tmp_path: Path) -> None:
    config = DataConfig(simulated_patients=24)
    artifact = run(config, DataInputs(None), tmp_path / "one")
    dataset = Dataset.open(artifact)
    assert dataset.simulated
    assert {task.name for task in dataset.tasks} == {"sim_murmur", "sim_adventitious", "sim_cough"}
    assert artifact.manifest.key == data_key(config, DataInputs(None))
    assert artifact.digest == run(config, DataInputs(None), tmp_path / "two").digest


def test_a_simulated_folder_stays_simulated(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    simulate(tmp_path / "folder", 24, seed=0)
    assert Dataset.open(run(DataConfig(), DataInputs(tmp_path / "folder"), tmp_path / "out")).simulated


def write_bytes(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data) and None


def write_samples(samples: np.ndarray, subtype: str = "FLOAT") -> Callable[[Path], None]:
    return lambda path: soundfile.write(path, samples, 4000, format="WAV", subtype=subtype)


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:2000])


BROKEN = {
    "missing": (Path.unlink, "there is no such file"),
    "empty": (write_bytes(b""), "the file is empty"),
    "truncated": (cut_in_half, "truncated"),
    "zero-length": (write_samples(np.zeros(0)), "holds no samples"),
    "NaN": (write_samples(np.full(8000, np.nan)), "NaN or infinite"),
    "infinite": (write_samples(np.full(8000, np.inf)), "NaN or infinite"),
    "short": (write_samples(noise(0, 0.4)), "too short: 0.40 s, and 0.5 s are needed"),
    "silent": (write_samples(np.zeros(8000)), "digital silence"),
    "text": (write_bytes(b"not a sound " * 50), "not audio"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_listed_and_the_rest_is_used(folder: Path, name: str) -> None:
    spoil, reason = BROKEN[name]
    spoil(folder / "p4_1.wav")
    artifact = build(folder)
    (listed,) = artifact.read_json("broken.json")
    assert (listed["line"], listed["path"]) == (11, "p4_1.wav")
    assert reason in listed["reason"]
    assert "p4_1.wav" not in {recording.path for recording in Dataset.open(artifact).recordings}
    assert len(Dataset.open(artifact).recordings) == 23


def test_too_many_broken_files_stop_the_build_with_the_list(folder: Path) -> None:
    for name in ("p4_1.wav", "p5_0.wav"):
        (folder / name).write_bytes(b"")
    with pytest.raises(DataError) as caught:
        build(folder)
    message = str(caught.value)
    assert message.startswith("2 of 24 recordings are broken, and only less than 5% may be")
    assert "line 11, p4_1.wav: the file is empty" in message
    assert "line 12, p5_0.wav: the file is empty" in message
    assert not (folder.parent / "dataset").exists()
    assert len(build(folder, LENIENT).read_json("broken.json")) == 2


def test_a_long_list_of_broken_files_is_cut(tmp_path: Path) -> None:
    folder = tmp_path / "ward"
    folder.mkdir()
    write_metadata(folder, two_class_rows(15))
    with pytest.raises(DataError, match="and 10 more"):
        build(folder)


def test_no_broken_file_is_allowed_and_none_is_there(folder: Path) -> None:
    assert build(folder, DataConfig(max_broken_fraction=0.0)).read_json("broken.json") == []


@pytest.mark.parametrize(
    ("subtype", "channels", "told"), [("PCM_U8", 1, "8-bit"), ("PCM_24", 1, ""), ("FLOAT", 2, "channels")]
)
def test_other_formats_are_read(folder: Path, subtype: str, channels: int, told: str) -> None:
    samples = np.repeat(noise(7)[:, None], channels, axis=1)
    soundfile.write(folder / "p0_0.wav", samples, 4000, subtype=subtype)
    artifact = build(folder)
    dataset = Dataset.open(artifact)
    (recording,) = (recording for recording in dataset.recordings if recording.path == "p0_0.wav")
    step = 1 / 128 if subtype == "PCM_U8" else 1 / 32768
    assert np.abs(dataset.waveform(recording, 4000) - noise(7)).max() <= step
    audit = artifact.read_json("audit.json")
    formats = [finding["finding"] for finding in audit if finding["check"] == "format"]
    assert [told in finding for finding in formats] == ([True] if told else [])


def test_high_rates_are_brought_to_16_khz(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "ward", two_class_rows(), rate_hz=44100)
    dataset = Dataset.open(build(folder))
    assert {recording.sample_rate_hz for recording in dataset.recordings} == {16000}
    assert {recording.n_samples for recording in dataset.recordings} == {32000}


def test_one_class_is_refused(tmp_path: Path) -> None:
    rows = [{**row, "label": "sick"} for row in two_class_rows()]
    with pytest.raises(DataError, match=r"task recordings_label: .*'sick' only"):
        build(write_folder(tmp_path / "ward", rows))


def test_a_patient_in_two_splits_is_refused(tmp_path: Path) -> None:
    names = {"0": "train", "1": "test"}
    rows = [{**row, "split": names[row["path"][-5]]} for row in two_class_rows()]
    with pytest.raises(LeakError, match="p0"):
        build(write_folder(tmp_path / "ward", rows))
    assert not (tmp_path / "dataset").exists()


def test_too_few_patients_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no recording is left for val: the folder holds 2 patients"):
        build(write_folder(tmp_path / "ward", two_class_rows(2)))


def test_a_class_that_only_the_official_test_has_is_refused(tmp_path: Path) -> None:
    rows = [{**row, "split": "test" if row["label"] == "sick" else "train"} for row in two_class_rows()]
    with pytest.raises(DataError, match="class 'sick' is in test and not in train"):
        build(write_folder(tmp_path / "ward", rows))


def test_a_task_of_the_config_is_asked(folder: Path) -> None:
    classes = (ClassRule(name="well", values=("healthy",)), ClassRule(name="ill", values=("sick",)))
    task = Task(name="illness", dataset="recordings", classes=classes)
    dataset = Dataset.open(build(folder, DataConfig(tasks=(task,))))
    assert dataset.tasks == (task,)
    found = {(recording.metadata["label"], recording.labels["illness"]) for recording in dataset.recordings}
    assert found == {("healthy", 0), ("sick", 1)}


def test_labels_reports_and_metadata_come_from_the_row(mini_dataset: Artifact) -> None:
    dataset = Dataset.open(mini_dataset)
    for recording in dataset.recordings:
        for task in dataset.tasks:
            assert recording.labels.get(task.name) == task.label_of(recording.dataset, recording.metadata)
        assert recording.report == recording.reports[0]
        assert len(set(recording.reports)) == DEFAULT.surface_forms
    assert json.loads((mini_dataset.path / "source.json").read_text()).keys() == {"simulated"}


def test_the_number_of_reports_is_the_configs(folder: Path) -> None:
    one, many = (Dataset.open(build(folder, DataConfig(surface_forms=n), str(n))).recordings for n in (1, 3))
    assert {len(recording.reports) for recording in one} == {1}
    assert [recording.reports[:1] for recording in many] == [recording.reports for recording in one]
    assert {len(set(recording.reports)) for recording in many} == {3}


def test_no_group_is_in_two_splits(mini_dataset: Artifact) -> None:
    parts: dict[str, set[Split]] = {}
    for recording in Dataset.open(mini_dataset).recordings:
        for owner in {recording.group, recording.patient} - {""}:
            parts.setdefault(owner, set()).add(recording.split)
    assert all(len(found) == 1 for found in parts.values())


def test_impossible_configs_are_refused() -> None:
    with pytest.raises(ValidationError, match="add up to 1"):
        SplitFractions(train=0.6, val=0.2, test=0.3)
    learned = AudioContract().with_normalisation(Affine(mean=(0.0,) * 48, std=(1.0,) * 48))
    with pytest.raises(ValidationError, match="learned on the training split"):
        DataConfig(contract=learned)
    with pytest.raises(ValidationError, match="fraction"):
        DataConfig.model_validate({"fraction": 0.5})
