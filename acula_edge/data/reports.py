"""Reports: a few plain sentences for each recording, made of its metadata and of nothing else.

They are what the language model reads. Names, files, devices, sampling rates and source databases
stay out: they would teach the source instead of the finding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

Values = Mapping[str, str]

_SEX = {"M": "male", "F": "female", "male": "male", "female": "female"}
_SPR_SOUND = {
    "Normal": "normal breath sounds without adventitious sounds",
    "CAS": "continuous adventitious sounds (wheeze, rhonchi or stridor)",
    "DAS": "discontinuous adventitious sounds (crackles)",
    "CAS & DAS": "continuous and discontinuous adventitious sounds (wheeze and crackles)",
    "Poor Quality": "poor quality, the breath sounds can not be judged",
}
_KAUH_SOUND = {
    "N": "normal breath sounds",
    "E W": "expiratory wheeze",
    "I E W": "inspiratory and expiratory wheeze",
    "C": "crackles",
    "I C": "inspiratory crackles",
    "I C E W": "inspiratory crackles and expiratory wheeze",
    "Crep": "crepitations",
}
_KAUH_SITE = {"P": "posterior", "A": "anterior", "L": "left", "R": "right"}
_KAUH_LEVEL = {"U": "upper", "M": "middle", "L": "lower"}
_ICBHI_SOUND = {
    "normal": "normal breath sounds",
    "crackle": "crackles",
    "wheeze": "wheezes",
    "both": "crackles and wheezes",
}
_VALVES = {
    "bmd_AS": "aortic stenosis",
    "bmd_AR": "aortic regurgitation",
    "bmd_MR": "mitral regurgitation",
    "bmd_MS": "mitral stenosis",
}
_PASCAL_SOUND = {
    "normal": "Clear heart sounds in a regular rhythm, no murmur.",
    "murmur": "A heart murmur is heard between the heart sounds.",
    "extrastole": "Extrasystoles: extra or skipped heart beats, out of rhythm.",
    "extrahls": "An additional heart sound is heard in each beat.",
    "artifact": "Noise and artifacts only, no heart sound can be discerned.",
}
_PHYSIONET_SOUND = {
    "normal": "Normal heart sounds, no sign of heart disease.",
    "abnormal": "Abnormal heart sounds, a confirmed cardiac diagnosis.",
}
# A field that is not in this table may be anything, the name of a file or a device too.
_GENERIC_FIELDS = {
    "body_site": "Recorded at {}.",
    "diagnosis": "Diagnosis: {}.",
    "disease": "Diagnosis: {}.",
    "symptoms": "Symptoms: {}.",
    "smoker": "Smoker: {}.",
}


def clinical_report(dataset: str, values: Values) -> str:
    """The report of one recording from its metadata (`SourceRow.values`); two or three sentences.

    A sentence whose fields are not given is left out.
    """
    return " ".join(sentence for sentence in _TEMPLATES.get(dataset, _generic)(values) if sentence)


def _sprsound(values: Values) -> list[str]:
    disease = values.get("spr_disease", "")
    return [
        _subject(values, "lung sounds", values.get("body_site", "")),
        _say("Finding: {}.", _expand(_SPR_SOUND, values["label"])),
        "No respiratory disease." if disease == "Control Group" else _diagnosis(disease),
    ]


def _kauh(values: Values) -> list[str]:
    label = values["label"]
    return [
        _subject(values, "lung sounds", _kauh_site(values.get("body_site", ""))),
        _say("Finding: {}.", _expand(_KAUH_SOUND, values.get("kauh_sound_type", ""))),
        "No lung or heart disease." if label == "Normal" else _diagnosis(label.replace(" + ", " and ")),
    ]


def _kauh_site(code: str) -> str:
    parts = code.split()
    if len(parts) != 3:
        return code
    face, side, level = parts
    words = (_KAUH_SITE.get(face, face), _KAUH_SITE.get(side, side), _KAUH_LEVEL.get(level, level))
    return " ".join(words) + " chest"


def _icbhi(values: Values) -> list[str]:
    disease = values.get("icbhi_diagnosis", "")
    return [
        _subject(values, "lung sounds", values.get("body_site", "").lower()),
        _say("Finding: {}.", _ICBHI_SOUND.get(values["label"], "")),
        "No respiratory disease." if disease == "Healthy" else _diagnosis(disease),
    ]


def _bmd_hs(values: Values) -> list[str]:
    area, _, posture = values.get("body_site", "").rpartition(" ")
    site = f"{area} area, {posture}" if area else ""
    valves = [name for field, name in _VALVES.items() if values.get(field) == "1"]
    unnamed = "valve disease" if values["label"] else ""
    healthy = values["label"] == "N"
    return [
        _subject(values, "heart sounds", site),
        "No valve disease." if healthy else _diagnosis(" and ".join(valves) or unnamed),
        "A smoker." if values.get("smoker") == "1" else "",
    ]


def _pascal(values: Values) -> list[str]:
    return [_expand(_PASCAL_SOUND, values["label"])]


def _physionet(values: Values) -> list[str]:
    return [_expand(_PHYSIONET_SOUND, values["label"])]


def _cough(values: Values) -> list[str]:
    label = values["label"]
    if label == "coughing":
        return ["A person is coughing."]
    if label == "other_environmental":
        return ["A sound that no person makes, no cough."]
    return [_say("The sound of {}, no cough.", label.replace("_", " "))]


def _generic(values: Values) -> list[str]:
    person = _person(values)
    return [
        f"{_article(person).capitalize()} {person} patient." if person else "",
        _say("Finding: {}.", values["label"].replace("_", " ")),
        *(_say(template, values.get(name, "")) for name, template in _GENERIC_FIELDS.items()),
    ]


_TEMPLATES: dict[str, Callable[[Values], list[str]]] = {
    "sprsound": _sprsound,
    "kauh": _kauh,
    "icbhi_mini": _icbhi,
    "bmd_hs": _bmd_hs,
    "pascal_hs": _pascal,
    "physionet2016": _physionet,
    "esc50_cough": _cough,
}


def _subject(values: Values, sounds: str, site: str) -> str:
    person = _person(values)
    start = f"{sounds[0].upper()}{sounds[1:]}"
    start += f" of {_article(person)} {person} patient" if person else ""
    return f"{start}, {site}." if site else f"{start}."


def _person(values: Values) -> str:
    sex = _SEX.get(values.get("sex", ""), "")
    return " ".join(part for part in (_age(values.get("age", "")), sex) if part)


def _article(person: str) -> str:
    return "an" if person.startswith(("8", "11-", "11.", "18-", "18.")) else "a"


def _age(text: str) -> str:
    try:
        years = float(text)
    except ValueError:
        return ""
    if not 0 <= years < 130:
        return ""
    return f"{years:g}-year-old" if years >= 1 else f"{round(12 * years)}-month-old"


def _diagnosis(disease: str) -> str:
    return "" if disease in ("", "unknown") else f"Diagnosis: {disease}."


def _expand(table: Mapping[str, str], code: str) -> str:
    return table.get(code, code)


def _say(template: str, value: str) -> str:
    return template.format(value) if value else ""
