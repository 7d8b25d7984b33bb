"""Coughs and other sounds, and recordings of sets that no table describes."""

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
)

_COUGHING = said(["cough"], "A person is coughing.", "coughing", "a cough", "the sound of a cough")
_SURROUNDINGS = said(
    ["environmental", "-cough"],
    "A sound that no person makes, no cough.",
    "a sound that no person makes, no cough",
    "an environmental sound without a cough",
    "an environmental sound, no coughing",
)
_SMOKER = {
    **dict.fromkeys(("yes", "1", "true"), said(["smoker"], "Smoker: yes.", "smoker", "smokes")),
    **dict.fromkeys(("no", "0", "false"), said(["-smoker"], "Smoker: no.", "non-smoker", "does not smoke")),
}


def cough(values: Values) -> Case:
    """ESC-50: coughing, or the name of another sound."""
    label = values["label"]
    found = {"coughing": _COUGHING, "other_environmental": _SURROUNDINGS}.get(label) or _other_sound(label)
    return Case(today=found.plain, facts=facts_of({}, found), findings=found.nouns)


def generic(values: Values) -> Case:
    """Any other set: what the common columns say, word for word.

    A field that has no name here may be anything, the name of a file or a device too, and stays out.
    """
    finding = literal(values["label"].replace("_", " "))
    site = literal(values.get("body_site", ""))
    diagnosis = both([literal(values.get(name, "")) for name in ("diagnosis", "disease")])
    symptoms = literal(values.get("symptoms", ""))
    smoker = _SMOKER.get(values.get("smoker", "").lower(), Said())
    return Case(
        today=joined(
            sentence("{} patient.", _person(values)),
            sentence("Finding: {}.", finding.plain),
            sentence("Recorded at {}.", site.plain),
            sentence("Diagnosis: {}.", diagnosis.plain),
            sentence("Symptoms: {}.", symptoms.plain),
            smoker.plain,
        ),
        facts=facts_of(values, finding, site, diagnosis, symptoms, smoker),
        people=people(values),
        sites=site.phrases,
        findings=finding.phrases,
        diagnoses=diagnosis.phrases,
        notes=(*symptoms.phrases, *smoker.nouns[:1]),
    )


def _person(values: Values) -> str:
    found = people(values)
    return found[0].removesuffix(" patient").capitalize() if found else ""


def _other_sound(label: str) -> Said:
    if not label:
        return Said()
    name = label.replace("_", " ")
    sound = literal(name)
    return Said(
        (
            f"The sound of {name}, no cough.",
            f"the sound of {name}, no cough",
            f"{name} without coughing",
            f"{name}, no coughing",
        ),
        sound.facts | {"-cough"},
        literals=sound.literals,
    )
