"""Heart sound sets: BMD-HS, PASCAL and PhysioNet 2016."""

from __future__ import annotations

from acula_edge.data.reports.case import (
    Case,
    Said,
    Values,
    both,
    facts_of,
    joined,
    literal,
    people,
    said,
    sentence,
    subject,
)
from acula_edge.data.reports.facts import Facts
from acula_edge.data.reports.other import generic

_VALVE = ["valve disease", "heart disease"]
_VALVES = {
    "bmd_AS": said(["aortic stenosis"], "aortic stenosis", "stenosis of the aortic valve", implied=_VALVE),
    "bmd_AR": said(["aortic regurgitation"], "aortic regurgitation", "aortic insufficiency", implied=_VALVE),
    "bmd_MR": said(["mitral regurgitation"], "mitral regurgitation", "mitral insufficiency", implied=_VALVE),
    "bmd_MS": said(["mitral stenosis"], "mitral stenosis", "stenosis of the mitral valve", implied=_VALVE),
}
_NO_VALVE_DISEASE = said(["-valve disease"], "no valve disease", "no valvular heart disease")
_SOME_VALVE_DISEASE = said(
    ["valve disease"], "valve disease", "valvular heart disease", implied=["heart disease"]
)
_SMOKER = said(["smoker"], "A smoker.")
_POSTURES = {"sitting": ("sitting", "seated"), "supine": ("supine", "lying on the back")}
_PASCAL = {
    "normal": said(
        ["normal heart", "-murmur"],
        "Clear heart sounds in a regular rhythm, no murmur.",
        "clear heart sounds in a regular rhythm and no murmur",
        "normal heart sounds without a murmur",
        "normal heart sounds, no murmur",
        implied=["regular rhythm", "-extrasystole", "-extra heart sound"],
    ),
    "murmur": said(
        ["murmur"],
        "A heart murmur is heard between the heart sounds.",
        "a heart murmur between the heart sounds",
        "a murmur between the heart sounds",
        "a cardiac murmur",
    ),
    "extrastole": said(
        ["extrasystole"],
        "Extrasystoles: extra or skipped heart beats, out of rhythm.",
        "extrasystoles, that is extra or skipped heart beats",
        "extra or skipped heart beats, out of rhythm",
        "premature beats with an irregular rhythm",
        implied=["irregular rhythm", "-regular rhythm"],
    ),
    "extrahls": said(
        ["extra heart sound"],
        "An additional heart sound is heard in each beat.",
        "an additional heart sound in each beat",
        "an extra heart sound in each beat",
        "an added heart sound",
    ),
    "artifact": said(
        ["noise", "-heart sounds"],
        "Noise and artifacts only, no heart sound can be discerned.",
        "noise and artifacts without any discernible heart sound",
        "artifacts only, without heart sounds",
        "noise only, no heart sound",
    ),
}
_PHYSIONET = {
    "normal": (
        "Normal heart sounds, no sign of heart disease.",
        said(["normal heart"], "normal heart sounds", "clear heart sounds", "normal cardiac sounds"),
        said(["-heart disease"], "no sign of heart disease", "no heart disease", "no cardiac disease"),
    ),
    "abnormal": (
        "Abnormal heart sounds, a confirmed cardiac diagnosis.",
        said(["abnormal heart"], "abnormal heart sounds", "abnormal cardiac sounds"),
        said(["heart disease"], "confirmed cardiac disease", "confirmed heart disease"),
    ),
}


def bmd_hs(values: Values) -> Case:
    """BMD-HS: valve diseases of the patient, seen by echocardiography; one recording per area and posture."""
    site = _bmd_site(values.get("body_site", ""))
    found = [valve for field, valve in _VALVES.items() if values.get(field) == "1"]
    healthy = values["label"] == "N"
    unnamed = [_SOME_VALVE_DISEASE] if values["label"] else []
    diagnosis = _NO_VALVE_DISEASE if healthy else both(found or unnamed)
    smoker = _SMOKER if values.get("smoker") == "1" else Said()
    excluded = {
        f"-{fact}" for field, valve in _VALVES.items() if values.get(field) == "0" for fact in valve.facts
    }
    return Case(
        today=joined(
            subject(values, "heart sounds", site.plain),
            "No valve disease." if healthy else sentence("Diagnosis: {}.", diagnosis.plain),
            smoker.plain,
        ),
        facts=facts_of(values, site, diagnosis, smoker).with_implied(
            "heart sounds", "heart auscultation", *excluded
        ),
        sounds="heart sounds",
        people=people(values),
        sites=site.nouns,
        diagnoses=diagnosis.phrases,
        notes=("smoker",) if smoker.phrases else (),
    )


def pascal(values: Values) -> Case:
    """PASCAL: what is heard; nothing is known of the patient."""
    finding = _PASCAL.get(values["label"])
    if finding is None:
        return generic(values)
    return Case(today=finding.plain, facts=_heard(finding), sounds="heart sounds", findings=finding.nouns)


def physionet(values: Values) -> Case:
    """PhysioNet 2016: normal, or abnormal with a confirmed diagnosis that is not named."""
    if values["label"] not in _PHYSIONET:
        return generic(values)
    today, finding, diagnosis = _PHYSIONET[values["label"]]
    return Case(
        today=today,
        facts=_heard(finding, diagnosis),
        sounds="heart sounds",
        findings=finding.phrases,
        diagnoses=diagnosis.phrases,
    )


def _heard(*parts: Said) -> Facts:
    facts = facts_of({}, *parts)
    quiet = "-heart sounds" in facts.said
    return (
        facts.with_implied("heart auscultation")
        if quiet
        else facts.with_implied("heart sounds", "heart auscultation")
    )


def _bmd_site(text: str) -> Said:
    """ "mitral sitting" -> the mitral area of a sitting patient."""
    area, _, posture = text.rpartition(" ")
    if not area or posture not in _POSTURES:
        return literal(text)
    nouns = (f"{area} area with the patient {word}" for word in _POSTURES[posture])
    return said([f"{area} area", posture], f"{area} area, {posture}", *nouns)
