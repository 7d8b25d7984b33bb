"""Reports say what the metadata says, and nothing that tells the source."""

from __future__ import annotations

from pathlib import Path

import pytest

from acula_edge.data.folder import read_folder
from acula_edge.data.reports import clinical_report

CASES = {
    "sprsound": (
        {"label": "CAS", "age": "3.0", "sex": "F", "body_site": "left lateral", "spr_disease": "Asthma"},
        "Lung sounds of a 3-year-old female patient, left lateral. Finding: continuous adventitious sounds "
        "(wheeze, rhonchi or stridor). Diagnosis: Asthma.",
    ),
    "kauh": (
        {"label": "Asthma + Lung Fibrosis", "age": "81", "body_site": "P R L", "kauh_sound_type": "I C"},
        "Lung sounds of an 81-year-old patient, posterior right lower chest. Finding: inspiratory crackles. "
        "Diagnosis: Asthma and Lung Fibrosis.",
    ),
    "bmd_hs": (
        {"label": "MD", "sex": "M", "body_site": "mitral supine", "bmd_MR": "1", "bmd_MS": "1", "bmd_AS": ""},
        "Heart sounds of a male patient, mitral area, supine. "
        "Diagnosis: mitral regurgitation and mitral stenosis.",
    ),
    "pascal_hs": ({"label": "murmur"}, "A heart murmur is heard between the heart sounds."),
    "physionet2016": ({"label": "normal"}, "Normal heart sounds, no sign of heart disease."),
    "esc50_cough": ({"label": "crying_baby"}, "The sound of crying baby, no cough."),
    "icbhi_mini": (
        {"label": "both", "age": "0.25", "body_site": "Trachea", "icbhi_diagnosis": "COPD"},
        "Lung sounds of a 3-month-old patient, trachea. Finding: crackles and wheezes. Diagnosis: COPD.",
    ),
    "ward": (
        {"label": "fine_crackles", "age": "44", "sex": "male", "body_site": "left base", "ward_device": "X1"},
        "A 44-year-old male patient. Finding: fine crackles. Recorded at left base.",
    ),
}


@pytest.mark.parametrize("dataset", CASES)
def test_each_template(dataset: str) -> None:
    values, expected = CASES[dataset]
    assert clinical_report(dataset, values) == expected


@pytest.mark.parametrize("dataset", CASES)
def test_what_is_not_known_is_not_said(dataset: str) -> None:
    report = clinical_report(dataset, {"label": "", "age": "old", "sex": "?"})
    assert not set(report.split()) & {"Finding:", "Diagnosis:", "patient", "year-old", "?", "old"}


def test_no_report_tells_the_source(recordings_root: Path | None, mini_folder: Path) -> None:
    for row in read_folder(recordings_root or mini_folder).rows:
        report = clinical_report(row.dataset, row.values)
        assert report
        assert report == clinical_report(row.dataset, row.values)
        hidden = ("device", "source_path", "source_repo", "license", "p2016_db", "sample_rate", "sha256")
        told = [row.recording_id, row.path, row.patient, *(row.fields.get(name, "") for name in hidden)]
        assert not [text for text in told if len(text) > 2 and text in report]
        assert 1 <= report.count(".") <= 6
