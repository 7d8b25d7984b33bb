"""Search: front ends and students within a budget, each tried by a short distillation."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from acula_edge.artifact import (
    Artifact,
    ArtifactKind,
    ArtifactWriter,
    Description,
    Parent,
    digest_of,
    work_dir,
)
from acula_edge.contract import AudioContract
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.disk import locked
from acula_edge.environment import code_version, environment, key_of
from acula_edge.errors import UsageError
from acula_edge.evidence.facts import data_facts
from acula_edge.evidence.html import to_html
from acula_edge.evidence.markdown import to_markdown
from acula_edge.progress import say
from distill.batches import Batches
from distill.config import DistillConfig
from distill.search_best import best_config
from distill.search_config import SearchConfig
from distill.search_page import page_of, verdict_of
from distill.search_result import Needs, SearchResult, State, TrialRecord, broken, front_of, settled_score
from distill.search_space import START, TABLE, Choice
from distill.search_stop import hopeless
from distill.search_study import Asked, SearchStudy
from distill.stage import VIEWS, DistillInputs
from distill.text_space import learn_texts
from distill.toml_text import toml_text
from distill.training import train
from distill.views import Views, make_views

STUDY_FILE = "study.db"
RESULT_FILE, BEST_FILE, PAGE_FILES = "search.json", "best.toml", ("front.md", "front.html")
NOTICE = "Research software, not a medical device."
_BARREN = 100  # shapes in a row that are not trained: the rest of the space will not be either


class _StoppedTrainingError(Exception):
    """A trial that is not worth its last epochs; its last validation score."""

    def __init__(self, score: float) -> None:
        super().__init__(score)
        self.score = score


def run(
    config: SearchConfig, inputs: DistillInputs, work: Path, out: Path, force: bool = False
) -> tuple[Artifact, SearchResult]:
    """Search, and write search.json, the Pareto front as page and plot, and best.toml to `out`.

    Beside `out` stands a folder with the study: a search that was killed goes on with it, and one that has
    ended is prolonged by more `trials`. The views of each front end, up to 400 MB for 6000 clips, stay in
    `work`. Raises ExistsError if `out` exists and `force` is not given, ArtifactError for a study of
    something else or one that is running, ContractError for a teacher of another data set, UsageError if
    nothing fits the budget.
    """
    folder = work_dir(out)
    with (
        ArtifactWriter(out, force=force) as writer,
        locked(folder, f"another search writes {out}; wait for it, or give another --out"),
    ):
        search = _Search(config, inputs, work, folder)
        own = AudioContract.of(inputs.teacher.manifest.contract)
        own.require_equal(search.dataset.contract, "the teacher")
        result = _result(config, search.dataset.simulated, search.trials())
        page = page_of(result, _parents(inputs), data_facts(inputs.dataset))
        writer.write_json(RESULT_FILE, result.model_dump(mode="json"))
        for name, text in zip(PAGE_FILES, (to_markdown(page), to_html(page)), strict=True):
            (writer.path / name).write_text(text, encoding="utf-8")
        best = best_config(config.settings, result.trial(result.best).choice)
        (writer.path / BEST_FILE).write_text(toml_text(best), encoding="utf-8")
        return writer.commit(_description(config, inputs)), result


@dataclass(frozen=True)
class _Search:
    """One search: what it reads, and the folder of its study."""

    config: SearchConfig
    inputs: DistillInputs
    work: Path
    folder: Path

    @cached_property
    def dataset(self) -> Dataset:
        return Dataset.open(self.inputs.dataset)

    def trials(self) -> list[TrialRecord]:
        """Every trial of the study, once it has as many as were asked for."""
        study = SearchStudy.open(self.folder / STUDY_FILE, self._made_of(), self.config.seed)
        trials = study.trials()
        while not _done(trials, self.config.trials):
            asked = study.ask()
            record = self._tried(asked, trials)
            study.tell(asked, record, record.needs.excess(self.config.budget))
            shutil.rmtree(self._trial_folder(asked.index), ignore_errors=True)
            trials.append(record)
        return trials

    def _tried(self, asked: Asked, before: Sequence[TrialRecord]) -> TrialRecord:
        """What the trial gave; only a new shape within the budget is trained."""
        contract, student = asked.choice.contract(), asked.choice.student()
        needs = Needs.of(student, contract, sum(task.n_logits for task in self.dataset.tasks))
        record = TrialRecord(index=asked.index, state=State.TRAINED, choice=asked.choice, needs=needs)
        over = tuple(name for name, value in needs.excess(self.config.budget).items() if value > 0)
        if over:
            return record.model_copy(update={"state": State.OVER_BUDGET, "over": over})
        if any(_same(asked.choice, trial.choice) for trial in before):
            return record.model_copy(update={"state": State.REPEATED})
        place = f"trial {len(_begun(before)) + 1}/{self.config.trials}"
        say(f"{place}: {asked.choice.front_end}; {asked.choice.shape}; {needs.macs / 1e6:.2f} MMAC")
        return self._trained(record, contract, before)

    def _trained(
        self, record: TrialRecord, contract: AudioContract, before: Sequence[TrialRecord]
    ) -> TrialRecord:
        """The record with the scores of a short distillation."""
        recipe = self._recipe(record.choice)
        heard = self.dataset.heard_with(contract)
        train_views, val_views = (self._views(heard, split, recipe) for split in (Split.TRAIN, Split.VAL))
        texts = learn_texts(self.inputs.teacher, heard.of(Split.TRAIN), recipe.student.embedding_dim)
        steps = len(Batches(train_views, heard.tasks, texts, heard.contract, recipe))

        def stop(name: str, score: float, step: int) -> None:
            if name == "validation" and hopeless(
                score, step // steps, self.config.epochs, record.needs, before
            ):
                raise _StoppedTrainingError(score)

        checkpoint = self._trial_folder(record.index) / "student.safetensors"
        views = (train_views, val_views, texts)
        try:
            trained = train(recipe, heard.tasks, heard.contract, *views, checkpoint, log=stop)
        except _StoppedTrainingError as stopped:
            say(f"stopped: {stopped.score:.4f} is below the median of what costs no more")
            return record.model_copy(update={"state": State.STOPPED, "score": stopped.score})
        epochs = tuple(epoch.score for epoch in trained.history)
        return record.model_copy(update={"score": settled_score(epochs), "epochs": epochs})

    def _recipe(self, choice: Choice) -> DistillConfig:
        base = self.config.recipe
        return base.model_copy(
            update={
                "student": choice.student(),
                "epochs": self.config.epochs,
                "patience": None,
                "seed": self.config.seed,
                "augment": base.augment.model_copy(update={"views": 1}),
            }
        )

    def _views(self, heard: Dataset, split: Split, recipe: DistillConfig) -> Views:
        folder, recordings = self.work / VIEWS, heard.of(split)
        return make_views(heard, self.inputs.teacher, recordings, recipe.augment, folder, f"views {split}")

    def _trial_folder(self, index: int) -> Path:
        return self.folder / f"trial-{index}"

    def _made_of(self) -> dict[str, str]:
        """What a trial's scores depend on, as short texts."""
        config = self.config
        return {
            "data set": self.inputs.dataset.digest,
            "teacher": self.inputs.teacher.digest,
            "space": digest_of([TABLE, START]),
            "budget": digest_of(config.model_dump(mode="json")["budget"]),
            "number of epochs": str(config.epochs),
            "seed": str(config.seed),
            "recipe": digest_of(config.recipe.model_dump(mode="json", exclude={"student"})),
            "version of this program": code_version(ArtifactKind.STUDENT),
        }


def _done(trials: Sequence[TrialRecord], wanted: int) -> bool:
    """Whether enough students were trained, or the space holds no more that could be."""
    barren = len(trials) - max((trial.index + 1 for trial in _begun(trials)), default=0)
    return len(_begun(trials)) >= wanted or barren >= _BARREN


def _begun(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    return [trial for trial in trials if trial.state in {State.TRAINED, State.STOPPED}]


def _same(first: Choice, second: Choice) -> bool:
    """Whether two choices come to the same front end and student, as some do after rounding."""
    return (first.student(), first.contract()) == (second.student(), second.contract())


def _result(config: SearchConfig, simulated: bool, trials: list[TrialRecord]) -> SearchResult:
    front = front_of(trials)
    if not front:
        counted = ", ".join(f"{name} {times}" for name, times in broken(trials).items())
        raise UsageError(
            f"budget: none of {len(trials)} shapes fits it (how many break each limit: {counted}); raise it"
        )
    return SearchResult(
        verdict=verdict_of(front, trials, simulated),
        notice=NOTICE,
        simulated=simulated,
        budget=config.budget,
        seed=config.seed,
        epochs=config.epochs,
        front=tuple(trial.index for trial in front),
        best=front[0].index,
        trials=tuple(trials),
    )


def _parents(inputs: DistillInputs) -> tuple[Parent, ...]:
    return inputs.teacher.parent, inputs.dataset.parent


def _description(config: SearchConfig, inputs: DistillInputs) -> Description:
    return Description(
        kind=ArtifactKind.SEARCH,
        key=key_of(ArtifactKind.SEARCH, config, [inputs.teacher.digest, inputs.dataset.digest]),
        parents=_parents(inputs),
        config=config.model_dump(mode="json"),
        data=inputs.dataset.manifest.data,
        seed=config.seed,
        environment=environment(),
    )
