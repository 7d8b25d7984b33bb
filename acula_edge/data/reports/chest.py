"""Lung sound sets: SPRSound, KAUH and ICBHI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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

_NONE_ADDED = ("-adventitious", "-crackles", "-wheeze", "-cas")
_NORMAL = said(
    ["normal breath"],
    "normal breath sounds",
    "vesicular breath sounds",
    "normal vesicular breathing",
    "clear breath sounds without added sounds",
    implied=_NONE_ADDED,
)
_CRACKLES = said(["crackles"], "crackles", "crepitations", "discontinuous adventitious sounds")
_WHEEZE = said(["wheeze"], "wheezes", "wheezing", "a wheeze")
_BOTH = said(
    ["crackles", "wheeze"],
    "crackles and wheezes",
    "crepitations together with wheezing",
    "wheezes and crackles",
)
_SPR_SOUND = {
    "Normal": said(
        ["normal breath"],
        "normal breath sounds without adventitious sounds",
        "vesicular breath sounds and no added sounds",
        "normal vesicular breathing, no crackles or wheezes",
        "clear breath sounds without adventitious sounds",
        implied=_NONE_ADDED,
    ),
    "CAS": said(
        ["cas"],
        "continuous adventitious sounds (wheeze, rhonchi or stridor)",
        "wheeze, rhonchi or stridor",
        "continuous added sounds",
        "continuous added sounds, that is wheeze, rhonchi or stridor",
        implied=["adventitious"],
    ),
    "DAS": said(
        ["crackles"],
        "discontinuous adventitious sounds (crackles)",
        "crackles",
        "crepitations",
        "discontinuous added sounds, that is crackles",
        implied=["adventitious"],
    ),
    "CAS & DAS": said(
        ["cas", "crackles"],
        "continuous and discontinuous adventitious sounds (wheeze, rhonchi or stridor, and crackles)",
        "crackles together with wheeze, rhonchi or stridor",
        "crepitations and continuous adventitious sounds",
        "continuous and discontinuous added sounds",
        implied=["adventitious"],
    ),
    "Poor Quality": said(
        ["poor quality"],
        "poor quality, the breath sounds can not be judged",
        "breath sounds that can not be judged",
        "breath sounds of poor quality that can not be assessed",
    ),
}
_KAUH_SOUND = {
    "N": _NORMAL,
    "E W": said(
        ["wheeze", "expiratory wheeze"],
        "expiratory wheeze",
        "wheezing on expiration",
        "a wheeze during exhalation",
    ),
    "I E W": said(
        ["wheeze", "inspiratory wheeze", "expiratory wheeze"],
        "inspiratory and expiratory wheeze",
        "wheezing on inspiration and expiration",
        "a wheeze during inhalation and exhalation",
    ),
    "C": said(["crackles"], "crackles", "crepitations", "discontinuous adventitious sounds"),
    "I C": said(
        ["crackles", "inspiratory crackles"],
        "inspiratory crackles",
        "crackles on inspiration",
        "crepitations during inhalation",
    ),
    "I C E W": said(
        ["crackles", "wheeze", "inspiratory crackles", "expiratory wheeze"],
        "inspiratory crackles and expiratory wheeze",
        "crackles on inspiration and wheezing on expiration",
        "expiratory wheeze and inspiratory crepitations",
    ),
    "Crep": said(["crackles"], "crepitations", "crackles", "discontinuous adventitious sounds"),
}
_ICBHI_SOUND = {"normal": _NORMAL, "crackle": _CRACKLES, "wheeze": _WHEEZE, "both": _BOTH}
_LUNG = ["lung disease"]
_NO_LUNG_DISEASE = said(["-lung disease"], "no respiratory disease", "no lung disease")
_DIAGNOSES = {
    "Asthma": said(["asthma"], "Asthma", implied=_LUNG),
    "COPD": said(["copd"], "COPD", "chronic obstructive pulmonary disease", implied=_LUNG),
    "Heart Failure": said(["heart failure"], "Heart Failure", "cardiac failure", implied=["heart disease"]),
    "Lung Fibrosis": said(["lung fibrosis"], "Lung Fibrosis", "pulmonary fibrosis", implied=_LUNG),
    "Bronchitis": said(["bronchitis"], "Bronchitis", implied=_LUNG),
    "Bronchiectasis": said(["bronchiectasis"], "Bronchiectasis", implied=_LUNG),
    "Bronchiolitis": said(["bronchiolitis"], "Bronchiolitis", implied=_LUNG),
    "URTI": said(["urti"], "URTI", "upper respiratory tract infection"),
    "Pneumonia (severe)": said(["severe pneumonia"], "Pneumonia (severe)", "severe pneumonia", implied=_LUNG),
    "Pneumonia (non-severe)": said(
        ["non severe pneumonia"], "Pneumonia (non-severe)", "non-severe pneumonia", implied=_LUNG
    ),
    "Other respiratory diseases": said(
        ["other lung disease"], "Other respiratory diseases", "another respiratory disease", implied=_LUNG
    ),
    "Control Group": _NO_LUNG_DISEASE,
    "Healthy": _NO_LUNG_DISEASE,
    "Normal": said(
        ["-lung disease", "-heart disease"],
        "no lung or heart disease",
        "no respiratory or cardiac disease",
    ),
}
_FACES = {"P": "posterior", "A": "anterior"}
_SIDES = {"L": "left", "R": "right"}
_LEVELS = {"U": "upper", "M": "middle", "L": "lower"}


def sprsound(values: Values) -> Case:
    """SPRSound: the record's class, the patient's disease."""
    side, _, face = values.get("body_site", "").partition(" ")
    site = _site(face, side, "", plain=f"{side} {face}") if face else literal(side)
    finding = _look_up(_SPR_SOUND, values["label"])
    return _case(values, site, finding, [values.get("spr_disease", "")])


def kauh(values: Values) -> Case:
    """KAUH: the diagnosis is the label, the sound type a field of its own."""
    finding = _look_up(_KAUH_SOUND, values.get("kauh_sound_type", ""))
    return _case(values, _kauh_site(values.get("body_site", "")), finding, values["label"].split(" + "))


def icbhi(values: Values) -> Case:
    """ICBHI 2017: crackles and wheezes of the whole recording, the patient's diagnosis."""
    where = values.get("body_site", "").lower()
    face, _, side = where.partition(" ")
    site = _site(face, side, "", plain=where) if side else literal(face)
    finding = _ICBHI_SOUND.get(values["label"], Said())
    return _case(values, site, finding, [values.get("icbhi_diagnosis", "")])


def _case(values: Values, site: Said, finding: Said, diseases: Sequence[str]) -> Case:
    known = [_look_up(_DIAGNOSES, disease) for disease in diseases if disease != "unknown"]
    diagnosis = both(known)
    healthy = diagnosis.plain.startswith("no ")
    return Case(
        today=joined(
            subject(values, "lung sounds", site.plain),
            sentence("Finding: {}.", finding.plain),
            sentence("{}." if healthy else "Diagnosis: {}.", diagnosis.plain.replace("no ", "No ", healthy)),
        ),
        facts=facts_of(values, site, finding, diagnosis).with_implied("lung sounds", "lung auscultation"),
        sounds="lung sounds",
        people=people(values),
        sites=site.nouns,
        findings=finding.nouns,
        diagnoses=diagnosis.phrases,
    )


def _look_up(table: Mapping[str, Said], code: str) -> Said:
    return table.get(code) or literal(code)


def _site(face: str, side: str, level: str, plain: str) -> Said:
    """A place on the chest; `level` may be empty."""
    zone = f"{level} " if level else ""
    return said(
        {face, side, level} - {""},
        plain,
        f"{zone}{side} {face} chest",
        f"{side} {face} chest{sentence(', {} zone', level)}",
        f"{face} chest{sentence(', {} zone', level)} on the {side}",
    )


def _kauh_site(code: str) -> Said:
    """A code such as "P R L": face, side and level. Of one that is not, only the face is sure."""
    face, *others = code.split() or [""]
    if face not in _FACES:
        return literal(code)
    words = _FACES[face]
    if len(others) == 2 and others[0] in _SIDES and others[1] in _LEVELS:
        side, level = _SIDES[others[0]], _LEVELS[others[1]]
        return _site(words, side, level, plain=f"{words} {side} {level} chest")
    return said([words], f"{words} chest")
