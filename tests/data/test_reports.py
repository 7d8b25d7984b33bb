"""Reports say what the metadata says, and nothing that tells the source."""

from __future__ import annotations

from pathlib import Path

import pytest

from acula_edge.data.folder import read_folder
from acula_edge.data.reports import clinical_facts, clinical_report, surface_forms
from acula_edge.data.reports.checker import check

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
def test_surface_forms_differ_and_say_the_same(dataset: str) -> None:
    values, plain = CASES[dataset]
    forms = surface_forms(dataset, values, 6)
    assert forms[0] == plain
    assert len(set(forms)) == 6
    assert forms == surface_forms(dataset, values, 6)
    assert forms[:3] == surface_forms(dataset, values, 3)
    assert set(forms) != set(surface_forms(dataset, values, 6, seed=1))
    facts = clinical_facts(dataset, values)
    assert [check(form, facts, plain) for form in forms] == [None] * 6


def test_few_phrasings_repeat_in_turn() -> None:
    forms = surface_forms("ward", {"label": "quiet"}, 40)
    different = list(dict.fromkeys(forms))
    assert 4 <= len(different) < 40
    assert forms == tuple((different * 40)[:40])


@pytest.mark.parametrize("dataset", [*CASES, "simulated_lung"])
def test_a_recording_of_which_nothing_is_known_has_no_report(dataset: str) -> None:
    assert surface_forms(dataset, {"label": "", "device": "X1", "p2016_db": "a"}, 4) == ()
    assert clinical_report(dataset, {"label": ""}) == ""


def test_a_place_that_is_not_clear_is_not_guessed() -> None:
    values = {"label": "Normal", "body_site": "P L L R"}
    assert clinical_report("kauh", values).startswith("Lung sounds, posterior chest. No lung or heart")


def test_diseases_that_no_table_knows_stand_as_they_are() -> None:
    values = {"label": "DAS", "spr_disease": "Plastic bronchitis, stage 2"}
    forms = surface_forms("sprsound", values, 4)
    assert all("Plastic bronchitis, stage 2" in form for form in forms)
    facts = clinical_facts("sprsound", values)
    assert [check(form, facts, forms[0]) for form in forms] == [None] * 4
    assert check(forms[0].replace("stage 2", "stage 3"), facts, forms[0]) is not None


@pytest.mark.parametrize("dataset", CASES)
def test_what_is_not_known_is_not_said(dataset: str) -> None:
    report = clinical_report(dataset, {"label": "", "age": "old", "sex": "?"})
    assert not set(report.split()) & {"Finding:", "Diagnosis:", "patient", "year-old", "?", "old"}


def test_no_report_tells_the_source(recordings_root: Path | None, mini_folder: Path) -> None:
    for row in read_folder(recordings_root or mini_folder).rows:
        forms = surface_forms(row.dataset, row.values, 4)
        assert len(set(forms)) == 4
        report = " ".join(forms)
        hidden = ("device", "source_path", "source_repo", "license", "p2016_db", "sample_rate", "sha256")
        told = [row.recording_id, row.path, row.patient, *(row.fields.get(name, "") for name in hidden)]
        assert not [text for text in told if len(text) > 2 and text in report]
        assert all(1 <= form.count(".") <= 7 for form in forms)
