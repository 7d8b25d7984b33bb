"""The search under a budget: what it tries, what it leaves out, and that a kill does not change it."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from acula_edge.artifact import Artifact
from acula_edge.disk import locked
from acula_edge.errors import ArtifactError, ContractError, ExistsError, UsageError
from acula_edge.students.budget import parse_budget
from distill import search
from distill.search_config import SearchConfig
from distill.search_page import verdict_of
from distill.search_result import Needs, SearchResult, State, TrialRecord, front_of, settled_score
from distill.search_space import START, Choice
from distill.search_stop import hopeless
from distill.search_study import SearchStudy
from distill.stage import DistillInputs
from tests.processes import fresh_process

CHEAP = Needs(parameters=1, macs=1, ram_bytes=1, flash_bytes=1)
DEAR = Needs(parameters=9, macs=9, ram_bytes=9, flash_bytes=9)
RECIPE = {"distill": {"batch_size": 16}}
TIGHT = SearchConfig(budget=parse_budget("ram=48KiB,mmac=3"), trials=2, epochs=2, seed=1, settings=RECIPE)
# Kills itself when an epoch ends for the third time: in the second student's training.
SCRIPT = """
import os, signal, sys
from pathlib import Path
from acula_edge import checkpoint
from acula_edge.artifact import Artifact
from acula_edge.disk import locked
from distill import search
from distill.search_config import SearchConfig
from distill.stage import DistillInputs

config, teacher, dataset, work, out, last = sys.argv[1:]
said = []
def say(sentence):
    said.append(sentence)
    print(sentence)
    if len(said) == int(last):
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)
checkpoint.say = say
inputs = DistillInputs(Artifact.open(Path(teacher)), Artifact.open(Path(dataset)))
search.run(SearchConfig.model_validate_json(config), inputs, Path(work), Path(out))
"""


def _trial(score: float | None, needs: Needs, *epochs: float, state: State = State.TRAINED) -> TrialRecord:
    return TrialRecord(index=0, state=state, choice=Choice.of(START), needs=needs, score=score, epochs=epochs)


def test_front_holds_trained_trials_best_first() -> None:
    dear, cheap = _trial(0.9, DEAR), _trial(0.8, CHEAP)
    beaten, stopped = _trial(0.7, DEAR), _trial(0.95, CHEAP, state=State.STOPPED)
    assert front_of([cheap, beaten, stopped, dear]) == [dear, cheap]


def test_the_verdict_says_how_the_hand_made_shape_stands() -> None:
    first, other = _trial(0.9, DEAR), _trial(0.8, CHEAP).model_copy(update={"index": 1})
    assert verdict_of([first, other], [first, other], False).endswith(
        "It is the hand-made shape that the search began with."
    )
    better = other.model_copy(update={"score": 0.95})
    assert verdict_of([better, first], [first, better], False).endswith("began with has 0.900.")


def test_an_epoch_that_shone_by_chance_does_not_rank_a_shape() -> None:
    risen, shone = [0.5, 0.6, 0.65, 0.68, 0.7, 0.7], [0.5, 0.9, 0.6, 0.6, 0.61, 0.59]
    assert settled_score(risen) == pytest.approx(0.7)
    assert settled_score(shone) == pytest.approx(0.6)
    assert settled_score(shone[:2]) == 0.9  # too short for a third


@pytest.mark.parametrize(
    ("score", "ended", "needs", "stops"),
    [
        (0.64, 2, DEAR, True),  # below the median, 0.65, of the second epochs
        (0.66, 2, DEAR, False),
        (0.64, 2, CHEAP, False),  # nothing that was trained costs less
        (0.10, 1, DEAR, False),  # too soon
    ],
)
def test_median_rule(score: float, ended: int, needs: Needs, stops: bool) -> None:
    middle = Needs(parameters=5, macs=5, ram_bytes=5, flash_bytes=5)
    done = [_trial(0.9, middle, 0.5, second, 0.9) for second in (0.5, 0.6, 0.7, 0.8)]
    assert hopeless(score, ended, 6, needs, done) is stops
    assert not hopeless(score, ended, 6, needs, done[1:])  # too few rivals


def _points(file: Path, seed: int, trials: int) -> list[Choice]:
    study = SearchStudy.open(file, {"teacher": "a"}, seed)
    found = []
    for number in range(trials):
        asked = study.ask()
        record = _trial(0.5 + number / 100, DEAR).model_copy(update={"index": number, "choice": asked.choice})
        study.tell(asked, record, {"ram": -0.5})
        found.append(asked.choice)
    return found


def test_equal_seeds_ask_for_equal_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distill.search_study._RANDOM_TRIALS", 3)  # so that the last points are learned
    first = _points(tmp_path / "a.db", 5, 5)
    assert first[0] == Choice.of(START)
    assert len(set(first)) > 3
    assert _points(tmp_path / "b.db", 5, 5) == first
    assert _points(tmp_path / "c.db", 6, 2)[1] != first[1]


def test_an_open_trial_is_asked_for_again(tmp_path: Path) -> None:
    undisturbed = _points(tmp_path / "a.db", 5, 3)
    assert _points(tmp_path / "b.db", 5, 2) == undisturbed[:2]
    SearchStudy.open(tmp_path / "b.db", {"teacher": "a"}, 5).ask()
    study = SearchStudy.open(tmp_path / "b.db", {"teacher": "a"}, 5)
    asked = study.ask()
    assert (asked.index, asked.choice) == (2, undisturbed[2])
    assert [trial.choice for trial in study.trials()] == undisturbed[:2]


def test_study_of_something_else_is_refused(tmp_path: Path) -> None:
    made_of = {"data set": "a", "teacher": "b", "space": "c"}
    file = tmp_path / "study.db"
    SearchStudy.open(file, made_of, 0)
    SearchStudy.open(file, made_of, 0)
    with pytest.raises(ArtifactError, match=r"study\.db is a search with another data set and another space"):
        SearchStudy.open(file, {**made_of, "data set": "x", "space": "y"}, 0)
    file.write_bytes(b"this is no SQLite file" * 100)
    with pytest.raises(ArtifactError, match=r"study\.db holds no study of a search; remove it"):
        SearchStudy.open(file, made_of, 0)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def undisturbed(mini_teacher: Artifact, mini_dataset: Artifact, work: Path) -> Path:
    done = _search(TIGHT, mini_teacher, mini_dataset, work, work / "undisturbed", 0)
    assert done.returncode == 0, done.stderr
    return work / "undisturbed"


def _search(config: SearchConfig, teacher: Artifact, dataset: Artifact, *places: object) -> Any:
    return fresh_process(SCRIPT, config.model_dump_json(), teacher.path, dataset.path, *places)


def test_what_breaks_the_budget_is_not_trained(undisturbed: Path) -> None:
    result = SearchResult.model_validate_json((undisturbed / "search.json").read_bytes())
    assert [trial.index for trial in result.trials] == list(range(len(result.trials)))
    assert result.trials[0].choice == Choice.of(START)
    assert result.trials[0].over == ("ram", "mmac")
    for trial in result.trials:
        needs = trial.needs
        fits = needs.ram_bytes <= 48 * 1024 and needs.macs <= 3e6
        assert (trial.state is State.OVER_BUDGET) == (not fits)
        assert (trial.score is None) == (trial.state in {State.OVER_BUDGET, State.REPEATED})
    assert len(result.trained) == 2
    assert result.best == result.front[0]
    for trial in result.trained:
        assert trial.score == pytest.approx(settled_score(trial.epochs))
        assert len(trial.epochs) == 2


def test_front_is_shown_as_table_and_plot(undisturbed: Path) -> None:
    result = SearchResult.model_validate_json((undisturbed / "search.json").read_bytes())
    text, page = (undisturbed / "front.md").read_text(), (undisturbed / "front.html").read_text()
    best = result.trial(result.best)
    for shown in (text, page):
        assert f"mean AUROC {best.score:.3f} on the validation patients" in shown
        assert best.choice.shape in shown
        assert "RAM 48 KiB, work 3 MMAC a clip" in shown
    assert page.count("<title>trial ") == 3 * len(result.trained)  # a dot in each of three panels
    assert "not trained: over the budget (ram" in text


def test_killed_search_ends_as_undisturbed(
    mini_teacher: Artifact, mini_dataset: Artifact, work: Path, undisturbed: Path
) -> None:
    out = work / "killed"
    killed = _search(TIGHT, mini_teacher, mini_dataset, work, out, 3)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    resumed = _search(TIGHT, mini_teacher, mini_dataset, work, out, 0)
    assert resumed.returncode == 0, resumed.stderr
    assert [line.split(":")[0] for line in resumed.stdout.splitlines()] == ["distill 2/2"]
    for name in ("search.json", "best.toml", "front.html"):
        assert (out / name).read_bytes() == (undisturbed / name).read_bytes()


def test_other_settings_are_refused_before_work(
    mini_teacher: Artifact, mini_dataset: Artifact, work: Path, undisturbed: Path
) -> None:
    inputs = DistillInputs(mini_teacher, mini_dataset)
    with pytest.raises(ExistsError, match="undisturbed exists already"):
        search.run(TIGHT, inputs, work, undisturbed)
    other = TIGHT.model_copy(update={"seed": 2, "epochs": 3})
    with pytest.raises(ArtifactError, match="another number of epochs and another seed"):
        search.run(other, inputs, work, undisturbed, force=True)
    assert json.loads((undisturbed / "search.json").read_bytes())["seed"] == 1


def test_two_searches_of_one_result_are_refused(
    mini_teacher: Artifact, mini_dataset: Artifact, tmp_path: Path
) -> None:
    inputs, out = DistillInputs(mini_teacher, mini_dataset), tmp_path / "out"
    with locked(tmp_path / ".out.work", "free"), pytest.raises(ArtifactError, match="another search writes"):
        search.run(TIGHT, inputs, tmp_path, out)


def test_ended_search_goes_on_with_more_trials(
    mini_teacher: Artifact, mini_dataset: Artifact, work: Path, undisturbed: Path, tmp_path: Path
) -> None:
    for name in ("undisturbed", ".undisturbed.work"):
        shutil.copytree(work / name, tmp_path / name)
    before = SearchResult.model_validate_json((undisturbed / "search.json").read_bytes())
    _, after = search.run(
        TIGHT.model_copy(update={"trials": 3}),
        DistillInputs(mini_teacher, mini_dataset),
        work,
        tmp_path / "undisturbed",
        force=True,
    )
    assert after.trials[: len(before.trials)] == before.trials
    assert len([trial for trial in after.trials if trial.score is not None]) == 3


def test_impossible_budget_is_a_sentence(
    mini_teacher: Artifact, mini_dataset: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_BARREN", 3)
    config = SearchConfig(budget=parse_budget("ram=1KiB,flash=9MiB"))
    with pytest.raises(UsageError, match=r"none of 3 shapes fits it \(how many break each limit: ram 3\)"):
        search.run(config, DistillInputs(mini_teacher, mini_dataset), tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_teacher_of_another_front_end_is_refused(
    mini_teacher: Artifact, mini_dataset: Artifact, tmp_path: Path
) -> None:
    contract = {**(mini_teacher.manifest.contract or {}), "clip_samples": 16000}
    manifest = mini_teacher.manifest.model_copy(update={"contract": contract})
    teacher = Artifact(mini_teacher.path, manifest, mini_teacher.digest)
    with pytest.raises(ContractError, match="the teacher was made with another audio contract"):
        search.run(TIGHT, DistillInputs(teacher, mini_dataset), tmp_path, tmp_path / "out")
