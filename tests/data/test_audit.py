"""The audit finds by itself each trap that the collection is known to hold, and invents none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from acula_edge.artifact import Artifact
from acula_edge.data.ambience import ambience
from acula_edge.data.audit import refuse_leaks
from acula_edge.data.audit_reports import refuse_report_leak
from acula_edge.data.config import DataConfig
from acula_edge.data.dataset import Dataset
from acula_edge.data.fingerprint import fingerprint
from acula_edge.data.folder import SourceRow
from acula_edge.data.recording import Recording, Split
from acula_edge.data.stage import DataInputs, run
from acula_edge.data.takes import Take
from acula_edge.errors import DataError, LeakError
from tests.data.sounds import noise, two_class_rows, write_folder, write_metadata

Findings = list[dict[str, Any]]


def audit_of(folder: Path) -> Findings:
    return run(DataConfig(), DataInputs(folder), folder.parent / "dataset").read_json("audit.json")


def of(findings: Findings, dataset: str, check: str) -> Findings:
    return [found for found in findings if (found["dataset"], found["check"]) == (dataset, check)]


def one(findings: Findings, check: str, dataset: str = "recordings") -> dict[str, Any]:
    (found,) = of(findings, dataset, check)
    return found


@pytest.fixture(scope="module")
def real(recordings_root: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The Dataset of the whole collection."""
    if recordings_root is None:
        pytest.skip("the collection of real recordings is not here; the same traps are set in small below")
    return run(DataConfig(), DataInputs(recordings_root), tmp_path_factory.mktemp("real") / "dataset")


def test_real_filters_of_one_recording(real: Artifact) -> None:
    same = one(real.read_json("audit.json"), "same_sound", "kauh")
    # 70 patients with up to three filters each; three patients have lost one or two of them.
    assert same["evidence"]["recordings"] >= 195
    groups = {recording.patient: recording for recording in Dataset.open(real).recordings}
    for recording in Dataset.open(real).recordings:
        if recording.dataset == "kauh":
            assert recording.split is groups[recording.patient].split


def test_real_official_split_that_shares_its_patients(real: Artifact) -> None:
    shared = one(real.read_json("audit.json"), "shared_patients", "sprsound")
    assert shared["severity"] == "warning"
    assert shared["evidence"] == {"shared": 52, "patients": {"intra_test": 52, "train": 78}}


def test_real_rate_and_set_that_predict_the_class(real: Artifact) -> None:
    findings = of(real.read_json("audit.json"), "pascal_hs", "source_predicts_class")
    by_fields = {found["evidence"]["fields"]: found["evidence"] for found in findings}
    (rate,) = (evidence for fields, evidence in by_fields.items() if "sample_rate" in fields)
    (source,) = (evidence for fields, evidence in by_fields.items() if "pascal_set" in fields)
    assert min(rate["cramers_v"], source["cramers_v"]) > 0.5
    assert rate["labels_of_one_value"] == {"artifact": "16000", "extrahls": "16000", "extrastole": "4000"}


def test_real_source_database_that_confounds_the_class(real: Artifact) -> None:
    findings = real.read_json("audit.json")
    assert one(findings, "unnamed_patients", "physionet2016")["evidence"]["recordings"] == 231
    shift = one(findings, "source_shift", "physionet2016")
    assert "p2016_db" in shift["evidence"]["fields"]
    assert shift["evidence"]["auroc_inside"] > 0.75
    assert shift["evidence"]["auroc_across"] < 0.6


def test_real_source_rate_that_names_a_diagnosis(real: Artifact) -> None:
    rate = one(real.read_json("audit.json"), "source_predicts_class", "kauh")
    assert rate["evidence"]["labels_of_one_value"]["Bronchitis"] == "44100"


def test_real_patients_are_whole(real: Artifact) -> None:
    findings = real.read_json("audit.json")
    assert all(found["evidence"]["in_two_splits"] == 0 for found in findings if found["check"] == "disjoint")
    assert not [found for found in findings if found["severity"] == "error"]


def test_real_shortcuts_are_told_with_their_figures(real: Artifact) -> None:
    findings = real.read_json("audit.json")
    shift = one(findings, "shortcuts", "physionet2016")
    assert shift["severity"] == "warning"
    assert shift["evidence"]["auroc"]["the split"]["noise floor"] > 0.7
    assert one(findings, "shortcuts", "sprsound")["severity"] == "info"
    pooled = one(findings, "set_alone", "all data sets")
    assert pooled["severity"] == "warning"
    assert pooled["evidence"]["auroc_pooled_label"] > 0.65


def test_real_reports_of_test_patients_are_counted_and_never_aligned(real: Artifact) -> None:
    recordings = Dataset.open(real).recordings
    shared = one(real.read_json("audit.json"), "shared_reports", "pascal_hs")["evidence"]
    assert shared["recordings"] == shared["of"]  # five sentences for 431 recordings
    train = [found.id for found in recordings if found.split is Split.TRAIN]
    refuse_report_leak(train, recordings)
    for held_out in (Split.VAL, Split.TEST):
        other = next(found.id for found in recordings if found.split is held_out)
        with pytest.raises(LeakError, match=f"the report of {other} would be aligned to"):
            refuse_report_leak([*train, other], recordings)


def test_a_clean_folder_has_no_warning(tmp_path: Path) -> None:
    findings = audit_of(write_folder(tmp_path / "ward", two_class_rows(30)))
    assert [found["check"] for found in findings] == ["disjoint", "shortcuts", "shared_reports"]
    assert {found["severity"] for found in findings} == {"info"}
    assert findings[0]["evidence"] == {
        "groups": 30,
        "in_two_splits": 0,
        "groups_by_split": {"test": 8, "train": 18, "val": 4},
    }


def test_a_device_that_predicts_the_class(tmp_path: Path) -> None:
    rows = two_class_rows(30)
    for i, row in enumerate(rows):
        row["device"] = {"sick": "A", "healthy": "B"}[row["label"]] if i % 10 else "A"
    found = one(audit_of(write_folder(tmp_path / "ward", rows)), "source_predicts_class")
    assert found["evidence"]["fields"] == "device"
    assert found["evidence"]["cramers_v"] > 0.6
    assert found["evidence"]["rate_rule_auroc"]["recordings_label"] > 0.85


def test_a_sampling_rate_that_predicts_the_class(tmp_path: Path) -> None:
    rows = two_class_rows(20)
    folder = write_folder(tmp_path / "ward", rows)
    for seed, row in enumerate(rows):
        if row["label"] == "sick":
            soundfile.write(folder / row["path"], noise(seed, 2.0, 8000), 8000)
    found = one(audit_of(folder), "source_predicts_class")
    assert found["evidence"]["fields"] == "rate of the file"
    assert found["evidence"]["labels_of_one_value"] == {"healthy": "4000", "sick": "8000"}


def test_a_split_that_shares_patients(tmp_path: Path) -> None:
    rows = [{**row, "split": f"fold{i % 2}"} for i, row in enumerate(two_class_rows(20))]
    found = one(audit_of(write_folder(tmp_path / "ward", rows)), "shared_patients")
    assert found["evidence"]["shared"] == 20


def test_copies_under_two_patients_with_two_labels(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "ward", two_class_rows(20))
    (folder / "p1_0.wav").write_bytes((folder / "p0_0.wav").read_bytes())
    artifact = run(DataConfig(), DataInputs(folder), tmp_path / "dataset")
    found = one(artifact.read_json("audit.json"), "identical_audio")
    assert found["severity"] == "warning"
    assert found["evidence"] == {
        "sounds": 1,
        "across_patients": 1,
        "labels_differ": 1,
        "files": [["p0_0.wav", "p1_0.wav"]],
    }
    recordings = {recording.path: recording for recording in Dataset.open(artifact).recordings}
    assert len({recordings[f"p{i}_{k}.wav"].split for i in (0, 1) for k in (0, 1)}) == 1


def test_a_filter_of_a_sound_under_another_name(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "ward", two_class_rows(20), seconds=4.0)
    loudness = np.repeat(np.exp(np.random.default_rng(0).normal(0, 1, 40)), 400)
    sound = 0.2 * loudness * noise(5, 4.0)
    soundfile.write(folder / "p2_0.wav", sound, 4000)
    soundfile.write(folder / "p7_0.wav", np.convolve(sound, [0.3, 0.2, 0.1], "same"), 4000)
    artifact = run(DataConfig(), DataInputs(folder), tmp_path / "dataset")
    found = one(artifact.read_json("audit.json"), "same_sound")
    assert found["severity"] == "warning"
    assert found["evidence"] == {"pairs": 1, "across_splits": 0, "files": [["p2_0.wav", "p7_0.wav"]]}
    recordings = {recording.path: recording for recording in Dataset.open(artifact).recordings}
    assert recordings["p2_0.wav"].group == recordings["p7_0.wav"].group


def test_a_probe_that_lives_on_the_source(tmp_path: Path) -> None:
    # Most of the sick are in database x, which is loud; inside of a database loudness tells nothing.
    rows = two_class_rows(80, each=1)
    for i, row in enumerate(rows):
        row["study_db"] = "x" if (row["label"] == "sick") != (i % 5 == 0) else "y"
    folder = write_folder(tmp_path / "ward", rows)
    for seed, row in enumerate(rows):
        soundfile.write(folder / row["path"], {"x": 3.0, "y": 1.0}[row["study_db"]] * noise(seed), 4000)
    found = one(audit_of(folder), "source_shift")
    assert found["evidence"]["fields"] == "study_db"
    assert found["evidence"]["auroc_across"] < 0.6 < 0.7 < found["evidence"]["auroc_inside"]


def test_unnamed_patients_clipping_and_changed_files(tmp_path: Path) -> None:
    rows = [{**row, "patient_id": ""} for row in two_class_rows(20)]
    folder = write_folder(tmp_path / "ward", rows)
    soundfile.write(folder / "p3_0.wav", np.clip(100 * noise(3), -1, 1), 4000)
    rows[0]["sha256"] = "0" * 64
    write_metadata(folder, rows)
    findings = audit_of(folder)
    assert one(findings, "unnamed_patients")["evidence"] == {"recordings": 40, "of": 40}
    assert one(findings, "clipping")["evidence"]["recordings"] == 1
    assert one(findings, "changed")["evidence"] == {"recordings": 1, "files": ["p0_0.wav"]}


def test_a_class_that_a_split_lacks(tmp_path: Path) -> None:
    rows = two_class_rows(12)
    for row in rows:
        row["label"] = "rare" if row["patient_id"] in ("p1", "p3") else row["label"]
    (found,) = of(audit_of(write_folder(tmp_path / "ward", rows)), "recordings", "missing_class")
    assert found["evidence"] == {"task": "recordings_label", "split": "val"}
    assert found["finding"].endswith("val has no recording of rare")


def take_of(recording: Recording) -> Take:
    row = SourceRow(2, recording.path, "d", recording.id, recording.patient, "x", "", {})
    steady = np.ones(8000, np.int16)
    print_, around = fingerprint(steady, 4000), ambience(steady, 4000)
    return Take(row, 4000, 0, 8000, 4000, 1, "PCM_16", "", f"samples {recording.id}", 0.0, print_, around)


def recording(number: int, split: Split, patient: str = "", group: str = "") -> Recording:
    name = str(number)
    return Recording(name, f"{name}.wav", "d", patient, group or name, split, 4000, 0, 8000, "")


@pytest.mark.parametrize(
    ("recordings", "sentence"),
    [
        ([recording(0, Split.TRAIN, "anna"), recording(1, Split.TEST, "anna")], "patient anna stands"),
        ([recording(0, Split.VAL, "", "g"), recording(1, Split.TEST, "", "g")], "group g stands in val"),
    ],
)
def test_a_finished_split_is_checked_again(recordings: Sequence[Recording], sentence: str) -> None:
    takes = [take_of(found) for found in recordings]
    with pytest.raises(LeakError, match=sentence):
        refuse_leaks(recordings, takes)
    refuse_leaks(recordings[:1] * 2, takes[:1] * 2)


def test_the_same_samples_in_two_splits_are_a_leak() -> None:
    recordings = [recording(0, Split.TRAIN), recording(1, Split.TEST)]
    takes = [replace(take_of(found), pcm_sha256="same") for found in recordings]
    with pytest.raises(LeakError, match="sound same stands in train"):
        refuse_leaks(recordings, takes)


def test_a_split_that_bandwidth_tells(tmp_path: Path) -> None:
    rows = two_class_rows(40, each=1)
    for i, row in enumerate(rows):
        row["split"] = "test" if i % 4 < 2 else "train"
    folder = write_folder(tmp_path / "ward", rows)
    for seed, row in enumerate(rows):
        dull = np.convolve(noise(seed), np.ones(8) / 8, "same")
        soundfile.write(folder / row["path"], dull if row["split"] == "test" else noise(seed), 4000)
    found = one(audit_of(folder), "shortcuts")
    assert found["severity"] == "warning"
    assert "the split from bandwidth alone" in found["finding"]
    assert found["evidence"]["auroc"]["the split"]["bandwidth"] > 0.95
    assert found["evidence"]["auroc"]["task recordings_label"]["bandwidth"] < 0.65


def test_a_class_that_the_noise_floor_tells(tmp_path: Path) -> None:
    rows = two_class_rows(40, each=1)
    folder = write_folder(tmp_path / "ward", rows)
    for seed, row in enumerate(rows):
        gain = 4.0 if row["label"] == "sick" else 1.0
        soundfile.write(folder / row["path"], gain * noise(seed), 4000)
    found = one(audit_of(folder), "shortcuts")
    assert found["finding"].startswith("a probe tells task recordings_label from noise floor alone (AUROC")
    assert found["evidence"]["auroc"]["task recordings_label"]["noise floor"] > 0.85


def two_sets(tmp_path: Path, patients: str = "") -> Path:
    rows = [
        {
            **row,
            "dataset": name,
            "path": f"{name}/{row['path']}",
            "patient_id": f"{prefix}{row['patient_id']}",
        }
        for name, prefix in (("ward", ""), ("clinic", patients))
        for row in two_class_rows(20)
    ]
    return write_folder(tmp_path / "both", rows, seconds=4.0)


def test_a_copy_under_another_data_set(tmp_path: Path) -> None:
    folder = two_sets(tmp_path, patients="c")
    loudness = np.repeat(np.exp(np.random.default_rng(0).normal(0, 1, 40)), 400)
    for path in ("ward/p2_0.wav", "clinic/p7_0.wav"):
        soundfile.write(folder / path, 0.2 * loudness * noise(5, 4.0), 4000)
    found = one(audit_of(folder), "same_sound", "all data sets")
    assert found["evidence"] == {
        "pairs": 1,
        "across_splits": 0,
        "files": [["ward/p2_0.wav", "clinic/p7_0.wav"]],
    }


def test_patients_of_two_data_sets(tmp_path: Path) -> None:
    findings = audit_of(two_sets(tmp_path))
    assert one(findings, "patients_of_several_sets", "all data sets")["evidence"]["patients"] == 20
    assert one(findings, "set_alone", "all data sets")["severity"] == "info"


def test_what_is_not_labelled_is_kept_counted_and_blames_no_device(tmp_path: Path) -> None:
    rows = two_class_rows(20)
    rows += [{"path": f"x{i}.wav", "patient_id": f"x{i}", "label": "", "device": "old"} for i in range(12)]
    artifact = run(DataConfig(), DataInputs(write_folder(tmp_path / "ward", rows)), tmp_path / "dataset")
    findings = artifact.read_json("audit.json")
    found = one(findings, "unlabelled")
    assert found["evidence"] == {"in_no_task": 12, "without_report": 12, "of": 52}
    assert not of(findings, "recordings", "source_predicts_class")
    silent = [found for found in Dataset.open(artifact).recordings if not found.reports]
    assert {found.path for found in silent} == {f"x{i}.wav" for i in range(12)}
    assert {(found.split, found.report) for found in silent} == {(Split.TRAIN, "")}


@pytest.mark.parametrize(
    ("held_out", "sentence"),
    [
        (recording(1, Split.TEST, "anna"), "patient anna stands in test"),
        (recording(1, Split.VAL, "", "g"), "group g stands in val"),
    ],
)
def test_the_report_of_a_held_out_patient_is_refused(held_out: Recording, sentence: str) -> None:
    recordings = [recording(0, Split.TRAIN, "anna", "g"), held_out]
    with pytest.raises(LeakError, match=f"the report of 0 would be aligned to, and its {sentence}"):
        refuse_report_leak(["0"], recordings)
    refuse_report_leak([], recordings)
    with pytest.raises(DataError, match="recording 9 is not in the Dataset"):
        refuse_report_leak(["9"], recordings)
