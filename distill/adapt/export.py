"""Export: from a bundle to the graphs that a phone trains with, bound to it by its digest."""

from __future__ import annotations

from pathlib import Path

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description
from acula_edge.data.tasks import Task
from acula_edge.environment import environment, key_of
from acula_edge.errors import ArtifactError
from acula_edge.runtime.divert import divert_output
from acula_edge.students.store import load_student
from distill.adapt.config import LessonConfig
from distill.adapt.names import ADAPT, PLAN, TRUNK


def export(config: LessonConfig, bundle: Artifact, out: Path, force: bool = False) -> Artifact:
    """Write `trunk.pte` and `adapt.pte` of a bundle. Raises ArtifactError if it carries no float student."""
    student = load_student(bundle)
    with ArtifactWriter(out, force=force) as writer:
        with divert_output():  # the exporter prints as soon as it is imported
            from distill.adapt.graph import export_graphs

            graphs = export_graphs(student, tasks_of(bundle), config)
        (writer.path / TRUNK).write_bytes(graphs.trunk)
        (writer.path / ADAPT).write_bytes(graphs.adapt)
        writer.write_json(PLAN, {"planned_bytes": graphs.planned_bytes})
        return writer.commit(
            Description(
                kind=ArtifactKind.ADAPT_GRAPHS,
                key=key_of(ArtifactKind.ADAPT_GRAPHS, config, [bundle.digest]),
                parents=(bundle.parent,),
                contract=bundle.manifest.contract,
                tensors=graphs.tensors,
                config=config.model_dump(mode="json"),
                environment=environment(),
            )
        )


def require_of(graphs: Artifact, bundle: Artifact) -> None:
    """ArtifactError if the graphs changed since they were written, or are not those of this very bundle."""
    problems = graphs.verify()
    if problems:
        raise ArtifactError(f"{graphs.path} is not as it was exported: {'; '.join(problems)}")
    if bundle.parent not in graphs.manifest.parents:
        raise ArtifactError(f"{graphs.path} is of another bundle than {bundle.path}; export again")


def tasks_of(bundle: Artifact) -> tuple[Task, ...]:
    """The tasks that a bundle's logits answer, in their order."""
    return tuple(Task.model_validate(row) for row in bundle.read_json("labels.json")["tasks"])
