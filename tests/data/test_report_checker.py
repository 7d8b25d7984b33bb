"""The checker accepts every report that we write, and catches every fault that we plant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acula_edge.data.folder import read_folder
from acula_edge.data.reports import clinical_facts, surface_forms
from acula_edge.data.reports.checker import Fault, check
from acula_edge.data.reports.facts import Facts, parse_age
from acula_edge.data.reports.mentions import read
from tests.recordings import recordings_folder

PROMPT = "Rewrite the report below in two lines of plain clinical English and use only the information given."
FORMS = 8

Told = tuple[str, Facts, str]


@cache
def told() -> list[Told]:
    """Each different report of the collection (text, facts, plain report); a few rows where it is not."""
    folder = recordings_folder()
    cases = {(row.dataset, tuple(row.values.items())) for row in read_folder(folder).rows} if folder else FEW
    found: dict[tuple[str, str], Told] = {}
    for dataset, items in sorted(cases):
        values = dict(items)
        forms, facts = surface_forms(dataset, values, FORMS), clinical_facts(dataset, values)
        found |= {(form, forms[0]): (form, facts, forms[0]) for form in forms}
    return list(found.values())


def case(dataset: str, **values: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    return dataset, tuple(values.items())


FEW = {
    case("sprsound", label="CAS", age="3", sex="F", body_site="left lateral", spr_disease="Asthma"),
    case(
        "sprsound", label="Normal", age="0.5", sex="M", body_site="right lateral", spr_disease="Control Group"
    ),
    case(
        "kauh", label="Heart Failure + COPD", age="61", sex="M", body_site="P R L", kauh_sound_type="I C E W"
    ),
    case("kauh", label="Normal", age="38", sex="F", body_site="A L U", kauh_sound_type="N"),
    case(
        "bmd_hs", label="MD", age="45", sex="M", body_site="mitral supine", bmd_MR="1", bmd_MS="1", smoker="1"
    ),
    case("pascal_hs", label="normal"),
    case("physionet2016", label="abnormal"),
    case("esc50_cough", label="snoring"),
}


def test_every_surface_form_of_every_recording_is_accepted() -> None:
    faults = [(found, text) for text, facts, plain in told() if (found := check(text, facts, plain, PROMPT))]
    assert faults == []


def drop_a_sentence(text: str) -> Iterator[str]:
    parts = re.split(r"(?<=[.;]) ", text)
    if len(parts) > 1:
        yield from (" ".join(parts[:k] + parts[k + 1 :]).rstrip(";") for k in range(len(parts)))


def swap(*pairs: tuple[str, str]) -> Callable[[str], Iterator[str]]:
    def spoil(text: str) -> Iterator[str]:
        for one, other in pairs:
            for old, new in ((one, other), (other, one)):
                changed = re.sub(rf"\b{old}\b", new, text, flags=re.I)
                if changed != text and "no crackles or" not in text:  # there, either word is true
                    yield changed

    return spoil


def other_number(text: str) -> Iterator[str]:
    for match in re.finditer(r"\d+(\.\d+)?", text):
        for new in (f"{float(match[0]) + 1:g}", f"9{match[0]}", "ninety-nine"):
            yield text[: match.start()] + new + text[match.end() :]
    yield text[:-1] + ", 37 degrees."


def flip(text: str) -> Iterator[str]:
    for denial in ("no ", "without "):
        if denial in text.lower():
            yield re.sub(denial, "with ", text, flags=re.I)
    for name in ("crackles", "wheezing", "asthma", "murmur", "coughing", "crepitations"):
        if re.search(rf"(?<!no )(?<!or )(?<!a )(?<!heart )(?<!without )\b{name}\b", text, re.I):
            yield re.sub(rf"\b{name}\b", f"no {name}", text, flags=re.I)


def invent(text: str) -> Iterator[str]:
    for more in (
        "The diagnosis is tuberculosis.",
        "Fever is present.",
        "There is a pleural friction rub.",
        "The patient has a history of hypertension.",
        "Possibly early disease.",
        "Treatment was given.",
        "No stridor.",
    ):
        yield f"{text} {more}"


def cut(text: str) -> Iterator[str]:
    yield text.rstrip(".")
    yield from (
        " ".join(text.split()[:k]) for k in range(1, len(text.split())) if text.split()[k - 1][-1] != "."
    )


def speak(text: str) -> Iterator[str]:
    yield f"As an AI language model, I cannot rewrite this. {text}"
    yield f"I'm sorry, but I can't help. {text}"
    yield f"Here is the rewritten report: {text}"
    yield f"Error: model not loaded. {text}"
    yield f"{text} <|im_end|>"


def other_language(text: str) -> Iterator[str]:
    yield text.replace("e", "\u00e9", 1)
    yield f"\u60a3\u8005 {text}"
    yield "El paciente tiene un soplo en el coraz\u00f3n."


SIDES = swap(("left", "right"))
PLACES = swap(
    ("posterior", "anterior"), ("upper", "lower"), ("sitting", "supine"), ("mitral area", "aortic area")
)
SEXES = swap(("female", "male"), ("boy", "girl"), ("man", "woman"))
PHASES = swap(("expiratory", "inspiratory"), ("inspiration", "expiration"))
NAMES = swap(
    ("stenosis", "regurgitation"), ("asthma", "bronchitis"), ("crackles", "wheezing"), ("severe", "mild")
)

PLANTED: dict[str, tuple[Callable[[str], Iterator[str]], set[Fault]]] = {
    "number": (other_number, {Fault.NUMBER}),
    "side": (SIDES, {Fault.INVENTED, Fault.NEGATION}),
    "place": (PLACES, {Fault.INVENTED}),
    "sex": (SEXES, {Fault.INVENTED}),
    "name": (NAMES, set(Fault)),
    "phase": (PHASES, {Fault.INVENTED, Fault.DROPPED}),
    "negation": (flip, {Fault.NEGATION, Fault.INVENTED}),
    "invented": (invent, {Fault.INVENTED}),
    "truncated": (cut, set(Fault)),
    "error text": (speak, {Fault.ERROR_TEXT}),
    "language": (other_language, {Fault.LANGUAGE}),
    "prompt echo": (
        lambda text: iter([f"{PROMPT} {text}", f"{text} {PROMPT}"]),
        {Fault.PROMPT_ECHO, Fault.ERROR_TEXT},
    ),
    "repeated": (lambda text: iter([f"{text} {text}"]), {Fault.REPEATED, Fault.LENGTH}),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_planted_faults_are_caught(kind: str) -> None:
    spoil, expected = PLANTED[kind]
    planted, missed = 0, []
    for text, facts, plain in told()[::11]:
        for spoilt in (spoilt for spoilt in spoil(text) if spoilt != text):
            found = check(spoilt, facts, plain, PROMPT)
            planted += 1
            if found is None or found.fault not in expected:
                missed.append((found, spoilt, text))
    assert planted
    assert missed == []


def test_a_sentence_that_is_left_out_is_missed_if_it_alone_said_a_fact() -> None:
    planted = 0
    for text, facts, plain in told()[::5]:
        for shorter in drop_a_sentence(text):
            found = check(shorter, facts, plain)
            lost = facts.said - read(shorter, facts.literals).facts
            planted += bool(lost)
            assert (found is not None) == bool(lost or (facts.age and facts.age.text not in shorter))
    assert planted > len(told()) // 10


PLAIN = "Lung sounds of a 62-year-old male patient, left lateral. Finding: crackles. Diagnosis: Asthma."
FACTS = clinical_facts(
    "sprsound",
    {"label": "DAS", "age": "62", "sex": "M", "body_site": "left lateral", "spr_disease": "Asthma"},
)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("A 62-year-old man with asthma; crepitations are heard over the left lateral chest.", None),
        ("This sixty-two year old male has asthma. Crackles on the left, laterally.", None),
        ("He is aged 62 and has asthma, with rales at the left lateral chest wall.", None),
        (
            "A 62-year-old man with asthma; crackles are not heard over the left lateral chest.",
            Fault.NEGATION,
        ),
        ("A 62-year-old man with asthma; left lateral chest, crackles: absent.", Fault.NEGATION),
        ("A 62-year-old man without asthma or crackles at the left lateral chest.", Fault.NEGATION),
        ("Neither asthma nor crackles in this 62-year-old man, left lateral.", Fault.NEGATION),
        ("A 62-month-old male with asthma; crackles at the left lateral chest.", Fault.NUMBER),
        ("A man with asthma; crackles at the left lateral chest.", Fault.NUMBER),
        ("A 62-year-old man with asthma; 3 crackles at the left lateral chest.", Fault.NUMBER),
        ("A 62-year-old man with asthma and COPD; crackles at the left lateral chest.", Fault.INVENTED),
        ("A 62-year-old man with suspected asthma; crackles at the left lateral chest.", Fault.INVENTED),
        ("A 62-year-old man with asthma; wheezes, crackles at the left lateral chest.", Fault.INVENTED),
        ("A 62-year-old boy with asthma; crackles at the left lateral chest.", Fault.INVENTED),
        ("A 62-year-old man with asthma; crackles at the left and right lateral chest.", Fault.INVENTED),
        ("A 62-year-old man; crackles at the left lateral chest.", Fault.DROPPED),
        ("A 62-year-old man with asthma; crackles at the lateral chest.", Fault.DROPPED),
        ("A 62-year-old man with asthma; crackles at the left lateral chest and", Fault.TRUNCATED),
        ("A 62-year-old man with asthma; crackles at the left lateral chest and.", Fault.TRUNCATED),
        ("", Fault.LENGTH),
        (" ".join(["The sounds of the patient were heard and recorded."] * 8) + " " + PLAIN, Fault.LENGTH),
    ],
)
def test_a_free_text(text: str, fault: Fault | None) -> None:
    found = check(text, FACTS, PLAIN, PROMPT)
    assert (found.fault if found else None) == fault, found


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("no crackles, wheezes or murmur", {"-crackles", "-wheeze", "-murmur"}),
        ("no crackles and wheezes", {"-crackles", "wheeze"}),
        ("crackles but no wheeze", {"crackles", "-wheeze"}),
        ("No asthma. Crackles", {"-asthma", "crackles"}),
        ("no murmur, regular rhythm", {"-murmur", "regular rhythm"}),
        ("crackles and wheezes are absent", {"crackles", "-wheeze"}),
        ("crackles or wheezes are not heard", {"-crackles", "-wheeze"}),
        ("aortic stenosis at the aortic area", {"aortic stenosis", "aortic area"}),
        (
            "expiratory wheeze and inspiratory crackles",
            {"expiratory wheeze", "wheeze", "inspiratory crackles", "crackles"},
        ),
        ("wheeze on inspiration and expiration", {"expiratory wheeze", "wheeze", "inspiratory wheeze"}),
        ("no expiratory wheeze", {"-wheeze", "-expiratory wheeze"}),
        ("asthma is excluded", {"-asthma"}),
        ("asthma can not be excluded", {"asthma"}),
        ("a non-smoker", {"-smoker"}),
        ("severe pneumonia", {"severe pneumonia"}),
        ("Pneumonia (non-severe).", {"non severe pneumonia"}),
    ],
)
def test_what_a_text_says(text: str, facts: set[str]) -> None:
    assert read(text).facts == facts


@given(st.text(max_size=60))
def test_any_text_is_read_and_judged(text: str) -> None:
    reading = read(text)
    assert all(number.value >= 0 for number in reading.numbers)
    assert check(text, FACTS, PLAIN, PROMPT) is not None  # no random text is this patient's report


@given(st.integers(0, 99))
def test_number_words_are_read(value: int) -> None:
    tens = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
    ones = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    ones += ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"]
    ones += ["eighteen", "nineteen"]
    word = (
        ones[value]
        if value < 20
        else "-".join(filter(None, (tens[value // 10], ones[value % 10] if value % 10 else "")))
    )
    for text in (f"aged {word} years", f"aged {value} years"):
        (number,) = read(text).numbers
        assert (number.value, number.unit) == (value, "year")


@given(st.floats(0, 129.9))
def test_ages_are_years_or_months(years: float) -> None:
    age = parse_age(str(years))
    assert age is not None
    assert abs(age.years - years) <= max(1 / 24, 1e-5 * years)
    assert age.groups & {"child", "adult"}


@pytest.mark.parametrize("text", ["", "old", "-1", "130", "nan", "inf"])
def test_what_is_no_age(text: str) -> None:
    assert parse_age(text) is None


def test_the_collection_is_read_once(recordings_root: Path | None) -> None:
    assert len(told()) > (5000 if recordings_root else 40)
