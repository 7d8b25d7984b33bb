"""Evaluation stage: a teacher's encoders on the patients of one split, and the report about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description, stage_key
from acula_edge.data.dataset import Dataset
from acula_edge.data.recording import Split
from acula_edge.data.tasks import Task
from acula_edge.encoders.teacher_model import TEACHER_FILE, TeacherModel, Variant
from acula_edge.environment import code_version, environment
from acula_edge.evaluation import measures, probes
from acula_edge.evaluation.config import EvaluationConfig
from acula_edge.evaluation.contest import panel
from acula_edge.evaluation.embeddings import Embeddings, Rows, embed_all
from acula_edge.evaluation.heads import Heads
from acula_edge.evaluation.report import page_of
from acula_edge.evaluation.results import Search, TeacherEvaluation
from acula_edge.evaluation.shift import shifts
from acula_edge.evaluation.slices import left_out
from acula_edge.evaluation.verdict import verdict
from acula_edge.evidence.accuracy import Logits
from acula_edge.evidence.accuracy import evaluate as score
from acula_edge.evidence.cohort import Cohort, Member
from acula_edge.evidence.facts import data_facts
from acula_edge.evidence.html import to_html
from acula_edge.evidence.limits import limitations
from acula_edge.evidence.markdown import to_markdown
from acula_edge.evidence.results import Accuracy
from acula_edge.teacher.config import TeacherConfig, Tuning
from acula_edge.teacher.probe import Embedded
from acula_edge.teacher.texts import embed_reports, wordings_of

NOTICE = "Research software, not a medical device."

_CHOSEN_HERE = (
    "These are the validation patients: the probes' strength and epoch, and whatever else was chosen for "
    "this teacher, were chosen on them, so that the scores are too high. Only the test patients can tell."
)
_JACKKNIFE = (
    "Intervals of retrieval and geometry are normal approximations (jackknife): near a bound they may cross "
    "it."
)


@dataclass(frozen=True)
class _Scene:
    """A teacher's encoders, and the recordings that they are scored on."""

    dataset: Dataset
    models: Mapping[str, TeacherModel]
    heads: Mapping[str, Heads]
    embeddings: Embeddings
    split: Split
    config: EvaluationConfig

    @property
    def labelled(self) -> dict[str, Embedded]:
        """The split's recordings that take part in a task, by each variant."""
        rows = [row for row in self.rows if self.embeddings.recordings[row].labels]
        return {name: self.embeddings.at(name, np.array(rows, dtype=np.int64)) for name in self.models}

    @property
    def rows(self) -> Rows:
        """The split's recordings in the embeddings."""
        return self.embeddings.rows(self.split)

    def score(self, tasks: Sequence[Task], logits: Logits, ran_in: str) -> Accuracy:
        """Scores of logits that have a row for each labelled recording."""
        recordings = next(iter(self.labelled.values())).recordings
        cohort = Cohort(tuple(map(Member.of_recording, recordings)))
        config = self.config
        return score(tasks, cohort, logits, panel(ran_in), config.bootstrap_resamples, config.seed)


def evaluate(
    teacher: Artifact,
    dataset: Artifact,
    split: Split,
    out: Path,
    force: bool = False,
    config: EvaluationConfig | None = None,
) -> TeacherEvaluation:
    """Score every encoder of a Teacher artifact, and write report.json, report.md and report.html to `out`.

    The test split's audio is opened only if `split` is TEST. Raises ExistsError if `out` exists and
    `force` is not given, ToolError if the language model's weights or an extra are missing.
    """
    resolved = config or EvaluationConfig()
    with ArtifactWriter(out, force=force) as writer:
        found = _evaluation(teacher, dataset, _scene(teacher, dataset, split, resolved))
        page = page_of(found)
        writer.write_json("report.json", found.model_dump(mode="json"))
        (writer.path / "report.md").write_text(to_markdown(page), encoding="utf-8")
        (writer.path / "report.html").write_text(to_html(page), encoding="utf-8")
        writer.commit(_description(resolved, split, teacher, dataset))
    return found


def _scene(teacher: Artifact, artifact: Artifact, split: Split, config: EvaluationConfig) -> _Scene:
    dataset = Dataset.open(artifact)
    held = teacher.read_json(TEACHER_FILE)["variants"]
    models = {str(name): TeacherModel.open(teacher, name) for name in Variant if name in held}
    recordings = dataset.of(Split.TRAIN, Split.VAL, split)
    recipe = TeacherConfig.model_validate(teacher.manifest.config)
    audio = embed_all(models, dataset, recordings, one_trunk=recipe.tuning is Tuning.TOP)
    texts = embed_reports(recipe, recordings, wordings_of(recordings, recipe.surface_forms))[:, 0]
    embeddings = Embeddings(recordings, audio, texts)
    return _Scene(dataset, models, Heads.open_all(teacher), embeddings, split, config)


def _evaluation(teacher: Artifact, artifact: Artifact, scene: _Scene) -> TeacherEvaluation:
    tasks, config, recipe = scene.dataset.tasks, scene.config, teacher.manifest.config
    labelled, simulated = scene.labelled, scene.dataset.simulated
    recordings = labelled[Variant.BASE].recordings
    logits = probes.opera_logits(tasks, scene.embeddings, labelled, config.probe_seeds)
    opera = scene.score(tasks, logits, "OPERA's probe")
    closed_form = scene.score(tasks, probes.closed_form_logits(scene.models, labelled), "closed-form probe")
    zero_shot = _zero_shot(scene)
    return TeacherEvaluation(
        verdict=verdict(opera, closed_form, zero_shot, scene.split, simulated),
        notice=NOTICE,
        simulated=simulated,
        split=scene.split,
        **{name: recipe[name] for name in ("encoder", "language", "alignment", "tuning")},
        probe_seeds=config.probe_seeds,
        opera_probe=opera,
        closed_form=closed_form,
        zero_shot=zero_shot,
        shifts=shifts(tasks, scene.embeddings.recordings, scene.split, opera),
        retrieval=_retrieval(scene),
        shapes=measures.shapes(scene.embeddings.part(scene.rows), config.seed),
        slices=measures.slice_scores(tasks, recordings, logits, config),
        slices_left_out=left_out(recordings),
        ages=measures.age_errors(scene.embeddings.part(scene.rows), config),
        data=data_facts(artifact),
        limitations=_limitations(opera, scene),
        parents=(teacher.parent, artifact.parent),
    )


def _zero_shot(scene: _Scene) -> Accuracy | None:
    """By every encoder with heads, on the tasks of which every class has a training report."""
    tasks = probes.told_tasks(scene.dataset.tasks, scene.heads[Variant.ALIGNED].prototypes)
    if not tasks:
        return None
    logits = {
        name: probes.zero_shot_logits(tasks, heads.audio(scene.labelled[name].embeddings), heads.prototypes)
        for name, heads in scene.heads.items()
    }
    return scene.score(tasks, logits, "prototypes")


def _retrieval(scene: _Scene) -> tuple[Search, ...]:
    """By every encoder with heads, among the recordings that have a report."""
    rows = np.array([row for row in scene.rows if scene.embeddings.texts[row].any()], dtype=np.int64)
    told = scene.embeddings.part(rows)
    if not rows.size:
        return ()
    projected = {
        name: (heads.audio(told.audio[name]), heads.text(told.texts)) for name, heads in scene.heads.items()
    }
    return measures.searches(projected, told.recordings, scene.config.seed)


def _limitations(accuracy: Accuracy, scene: _Scene) -> tuple[str, ...]:
    chosen_here = (_CHOSEN_HERE,) if scene.split is Split.VAL else ()
    return (*chosen_here, *limitations(accuracy, scene.dataset.simulated), _JACKKNIFE)


def _description(config: EvaluationConfig, split: Split, teacher: Artifact, dataset: Artifact) -> Description:
    resolved = {"split": split, **config.model_dump(mode="json")}
    code = code_version(ArtifactKind.EVALUATION)
    return Description(
        kind=ArtifactKind.EVALUATION,
        key=stage_key(ArtifactKind.EVALUATION, resolved, [teacher.digest, dataset.digest], code),
        parents=(teacher.parent, dataset.parent),
        contract=dataset.manifest.contract,
        config=resolved,
        data=dataset.manifest.data,
        seed=config.seed,
        environment=environment(),
    )
