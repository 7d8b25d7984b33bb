"""The verdict and the sentence about the shift, from hand-made numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from acula_edge.data.recording import Recording, Split
from acula_edge.data.tasks import KNOWN_TASKS
from acula_edge.encoders.teacher_model import Variant
from acula_edge.evaluation.contest import CONTROLS, TITLES
from acula_edge.evaluation.shift import shifts
from acula_edge.evaluation.verdict import verdict
from acula_edge.evidence.results import Accuracy, Difference, Estimate, SystemAccuracy

TASK = next(task for task in KNOWN_TASKS if task.dataset == "physionet2016")
WON = Estimate(value=0.05, low=0.02, high=0.08, degenerate=0)
OPEN = Estimate(value=0.01, low=-0.02, high=0.04, degenerate=0)
LOST = Estimate(value=-0.05, low=-0.08, high=-0.02, degenerate=0)
NO_INTERVAL = Estimate(value=0.05, low=None, high=None, degenerate=100)


def accuracy(gains: dict[str, Estimate]) -> Accuracy:
    """`gains` are those of the aligned encoder against each other one, on one task and in the mean."""
    base = Estimate(value=0.7, low=0.6, high=0.8, degenerate=0)
    aligned = Estimate(value=0.7 + (gains["base"].value or 0), low=0.6, high=0.9, degenerate=0)
    systems = {Variant.BASE: base, Variant.ALIGNED: aligned}
    return Accuracy(
        resamples=100,
        seed=0,
        cohorts=(),
        systems=tuple(
            SystemAccuracy(system=name, title=TITLES[name], ran_in="", tasks={TASK.name: found}, mean=found)
            for name, found in systems.items()
        ),
        differences=tuple(
            Difference(system=Variant.ALIGNED, against=name, title="", tasks={TASK.name: gain}, mean=gain)
            for name, gain in gains.items()
        ),
    )


def said(base: Estimate, **controls: Estimate) -> str:
    found = accuracy({"base": base, **{name: controls.get(name, WON) for name in CONTROLS}})
    return verdict(found, accuracy({"base": OPEN}), None, Split.TEST, simulated=False)


def test_alignment_that_beats_everything_is_said_to_help() -> None:
    sentence = said(WON)
    assert sentence.startswith(
        "Alignment with reports beats the base encoder and every control in mean AUROC on the test "
        "patients (0.750 against 0.700; OPERA's linear probe); aligned minus base +0.050 (95 % interval "
        "+0.020 to +0.080); by the closed-form probe +0.010 (95 % interval -0.020 to +0.040)"
    )
    assert sentence.endswith("The reports' meaning helps the probes.")


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("gain", [OPEN, LOST, NO_INTERVAL], ids=["open", "lost", "no interval"])
def test_a_control_that_is_not_beaten_is_named(control: str, gain: Estimate) -> None:
    claim, _, rest = said(WON, **{control: gain}).partition(" in mean AUROC")
    assert claim == (
        f"Alignment with reports beats the base encoder but does not clearly beat the {TITLES[control]}"
    )
    assert rest.endswith("It is not shown that the reports' meaning helps the probes.")


@pytest.mark.parametrize(("gain", "shown"), [(WON, "shows"), (OPEN, "does not show")])
def test_zero_shot_tells_whether_the_meaning_was_learned(gain: Estimate, shown: str) -> None:
    zero_shot = accuracy({"base": OPEN, Variant.SHUFFLED: gain})
    shuffled = SystemAccuracy(system=Variant.SHUFFLED, title="", ran_in="", tasks={}, mean=OPEN)
    zero_shot = zero_shot.model_copy(update={"systems": (*zero_shot.systems, shuffled)})
    sentence = verdict(accuracy({"base": OPEN}), accuracy({"base": OPEN}), zero_shot, Split.TEST, False)
    assert f"Zero-shot, without a label, {shown} that the shared space holds their meaning" in sentence
    assert sentence.endswith(f"{gain.value:+.3f} (95 % interval {gain.low:+.3f} to {gain.high:+.3f}).")


def test_several_are_named_in_order() -> None:
    claim = said(WON, shuffled=OPEN, ssl_only=LOST, constant=OPEN).partition(" in mean AUROC")[0]
    names = "the shuffled-reports control, the constant-report control or the self-supervision-only control"
    assert claim.endswith(f"but does not clearly beat {names}")


@pytest.mark.parametrize(
    ("gain", "claim"),
    [
        (OPEN, "does not clearly beat the base encoder, though it beats every control"),
        (LOST, "is worse than the base encoder, though it beats every control"),
        (NO_INTERVAL, "does not clearly beat the base encoder, though it beats every control"),
    ],
)
def test_a_base_that_is_not_beaten_comes_first(gain: Estimate, claim: str) -> None:
    sentence = said(gain)
    assert sentence.startswith(f"Alignment with reports {claim} in mean")
    assert sentence.endswith("It is not shown that the reports' meaning helps the probes.")


def test_neither_base_nor_control() -> None:
    claim = said(LOST, bag_of_words=OPEN).partition(" in mean AUROC")[0]
    assert claim.endswith(
        "is worse than the base encoder, and it does not clearly beat the bag-of-words control"
    )


def test_without_controls_nothing_is_said_of_meaning() -> None:
    found = accuracy({"base": WON})
    sentence = verdict(found, found, None, Split.VAL, simulated=True)
    assert sentence.startswith(
        "SIMULATED DATA, no patients: Alignment with reports beats the base encoder in"
    )
    assert "validation patients" in sentence
    assert "it is not known what the reports' meaning does" in sentence


def test_without_numbers_there_is_no_claim() -> None:
    unknown = Estimate(value=None, low=None, high=None, degenerate=100)
    assert said(unknown) == "The aligned encoder was not compared with its base encoder."


@pytest.mark.parametrize(
    ("gain", "verb"), [(WON, "helps"), (LOST, "does harm"), (OPEN, "changes nothing for certain")]
)
def test_shift_names_the_databases_and_what_alignment_does(gain: Estimate, verb: str) -> None:
    one = Recording("1", "1.wav", TASK.dataset, "", "g", Split.TRAIN, 2000, 0, 8, "", labels={TASK.name: 0})
    recordings = [
        replace(one, metadata={"p2016_db": "training-b"}),
        replace(one, metadata={"p2016_db": "training-a"}),
        replace(one, split=Split.TEST, metadata={"p2016_db": "training-e"}),
        replace(one, split=Split.TEST, metadata={"p2016_db": "training-z"}, labels={}),
    ]
    (sentence,) = shifts([KNOWN_TASKS[0], TASK], recordings, Split.TEST, accuracy({"base": gain}))
    assert sentence.startswith(
        f"{TASK.name} is scored on database training-e of physionet2016, while the training recordings come "
        f"from databases training-a, training-b: alignment {verb} across this shift, 0.700 before and"
    )
