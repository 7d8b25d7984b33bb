"""The whole line: data -> teacher -> distill -> quantize -> targets -> bench, with resume.

The only place where the stages meet. Each stage's artifact lies in the work folder under a name made
of its key, so that whole artifacts are used again and only what changed is redone. Planning imports
no stage: a build with nothing to do takes a moment.
"""

from __future__ import annotations

import os
import shutil
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from acula_edge.artifact import Artifact, ArtifactKind, ArtifactWriter, Description, digest_of, work_dir
from acula_edge.bench.config import BenchConfig
from acula_edge.data.config import DataConfig
from acula_edge.disk import locked
from acula_edge.environment import environment, key_of
from acula_edge.errors import ArtifactError, ExistsError, UsageError
from acula_edge.progress import say
from acula_edge.teacher.config import TeacherConfig
from distill.config import DistillConfig
from quantize.config import QuantizeConfig
from targets.config import TargetConfig
from targets.table import target

_KEY_CHARACTERS = 16  # of a key in a folder's name
_POLL_S = 0.2


@dataclass(frozen=True)
class Inputs:
    """What the stages may read: the recordings folder (None: simulate) and the artifacts made so far."""

    data: Path | None
    made: Mapping[ArtifactKind, Artifact]

    def __getitem__(self, kind: ArtifactKind) -> Artifact:
        return self.made[kind]


class BuildConfig(BaseModel):
    """One section per stage; a key that no stage knows is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: DataConfig = DataConfig()
    teacher: TeacherConfig = TeacherConfig()
    distill: DistillConfig = DistillConfig()
    quantize: QuantizeConfig = QuantizeConfig()
    target: TargetConfig = TargetConfig()
    bench: BenchConfig = BenchConfig()

    @model_validator(mode="after")
    def _scheme_is_for_the_target(self) -> Self:
        if target(self.target.name).integer_only and not self.quantize.integer_only:
            raise UsageError(
                f"target {self.target.name} has INT8 kernels alone; in the section quantize make "
                "scheme.tflite static, scheme.float_modules empty and tuning.max_float_layers 0"
            )
        return self

    @model_validator(mode="after")
    def _student_is_for_the_target(self) -> Self:
        if target(self.target.name).integer_only and self.distill.student.attends:
            raise UsageError(
                f"target {self.target.name} has INT8 kernels alone, and attention is float in every file; "
                'in the section distill choose a student without it, such as student = "small"'
            )
        return self

    @classmethod
    def load(cls, file: Path | None, target: str | None, seed: int | None) -> BuildConfig:
        """Defaults, overlaid by a TOML file, overlaid by the target's name and a seed for all stages.

        Raises UsageError naming the file, the key and what is wrong with it.
        """
        values = read_toml(file) if file else {}
        if target is not None:
            values["target"] = {**values.get("target", {}), "name": target}
        if seed is not None:
            for section in cls.model_fields:
                values[section] = {**values.get(section, {}), "seed": seed}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            wrong = "is not a key of this section" if first["type"] == "extra_forbidden" else first["msg"]
            raise UsageError(f"{file or 'configuration'}: {where} {wrong}") from None


@dataclass(frozen=True)
class Stage:
    """One step of the line: what it makes, from what, and the function that makes it.

    It does without an artifact of an `optional` kind, if there is none.
    """

    kind: ArtifactKind
    section: str
    parents: tuple[ArtifactKind, ...]
    run: Callable[[Any, Inputs, Path], Artifact]
    optional: tuple[ArtifactKind, ...] = ()


@dataclass(frozen=True)
class Step:
    """A stage of one particular build: `out` is None while a stage before it has yet to run."""

    kind: ArtifactKind
    out: Path | None
    cached: Artifact | None


def plan(config: BuildConfig, data: Path | None, work: Path) -> list[Step]:
    """Which stages are cached in `work` and which will run. Reads `data`, writes nothing."""
    made: dict[ArtifactKind, Artifact] = {}
    steps = []
    for stage in STAGES:
        out = _out(stage, config, Inputs(data, made), work)
        cached = _whole(out, stage.kind) if out else None
        if cached:
            made[stage.kind] = cached
        steps.append(Step(stage.kind, out, cached))
    return steps


def build(config: BuildConfig, data: Path | None, work: Path, out: Path, force: bool = False) -> Artifact:
    """Run what is not cached and deliver bundle and report together in `out`.

    `data` is a recordings folder, or None for simulated recordings. Raises ExistsError, before any
    work, if `out` holds anything else than the result of this very build and `force` is not given, and
    ToolError if a tool that the target needs is missing.
    """
    steps = plan(config, data, work)
    config.target.require()
    all_cached = all(step.cached for step in steps)
    if out.exists() and not force and not all_cached:
        raise ExistsError(f"{out} exists already; choose another --out or give --force")
    with _locked(work):
        return _deliver(_make_all(STAGES, config, data, work), out, force)


def make(
    config: BuildConfig,
    data: Path | None,
    work: Path,
    last: ArtifactKind,
    given: Mapping[ArtifactKind, Artifact] = MappingProxyType({}),
) -> Artifact:
    """The artifact of kind `last`: the stages up to it that are neither `given` nor cached are run.

    What a given artifact was made from is not made again, only the Dataset is. Where torchrun started
    several processes, the first one does what is not training, and the others wait for it.
    """
    stages = STAGES[: [stage.kind for stage in STAGES].index(last) + 1]
    if int(os.environ.get("RANK", "0")) > 0:
        return _join(stages, config, data, work)
    with _locked(work):
        return _make_all(stages, config, data, work, given)[last]


def _make_all(
    stages: Sequence[Stage],
    config: BuildConfig,
    data: Path | None,
    work: Path,
    given: Mapping[ArtifactKind, Artifact] = MappingProxyType({}),
) -> dict[ArtifactKind, Artifact]:
    made: dict[ArtifactKind, Artifact] = {}
    first = max((place for place, stage in enumerate(stages) if stage.kind in given), default=0)
    for number, stage in enumerate(stages, start=1):
        label = f"[{number}/{len(stages)}]"
        if stage.kind in given:
            made[stage.kind] = given[stage.kind]
        elif number > first or stage.kind is ArtifactKind.DATASET:
            made[stage.kind] = _make(stage, config, Inputs(data, made), work, label)
    return made


def _join(stages: Sequence[Stage], config: BuildConfig, data: Path | None, work: Path) -> Artifact:
    """Take part in the last stage, once the first process has made what it is made from."""
    made: dict[ArtifactKind, Artifact] = {}
    *before, last = stages
    for stage in before:
        made[stage.kind] = _wait_for(stage, config, Inputs(data, made), work)
    inputs = Inputs(data, made)
    out = _out(last, config, inputs, work)
    assert out is not None, "every stage before this one has run"
    return _whole(out, last.kind) or last.run(getattr(config, last.section), inputs, out)


def _wait_for(stage: Stage, config: BuildConfig, inputs: Inputs, work: Path) -> Artifact:
    """If the first process fails, torchrun ends this one too."""
    out = _out(stage, config, inputs, work)
    assert out is not None, "every stage before this one has run"
    while (artifact := _whole(out, stage.kind)) is None:
        time.sleep(_POLL_S)
    return artifact


def _make(stage: Stage, config: BuildConfig, inputs: Inputs, work: Path, label: str) -> Artifact:
    out = _out(stage, config, inputs, work)
    assert out is not None, "every stage before this one has run"
    cached = _whole(out, stage.kind)
    if cached:
        say(f"{label} {stage.kind}: cached")
        return cached
    say(f"{label} {stage.kind}: running")
    shutil.rmtree(out, ignore_errors=True)  # a damaged artifact of this very key
    artifact = stage.run(getattr(config, stage.section), inputs, out)
    shutil.rmtree(work_dir(out), ignore_errors=True)
    return artifact


def _deliver(made: Mapping[ArtifactKind, Artifact], out: Path, force: bool) -> Artifact:
    """Bundle and report in one folder, listed by one manifest."""
    bundle, report = made[ArtifactKind.BUNDLE], made[ArtifactKind.REPORT]
    parents = (bundle.parent, report.parent)
    if out.exists() and not force:
        delivered = Artifact.open(out, ArtifactKind.BUNDLE)
        if delivered.manifest.parents == parents and not delivered.verify():
            return delivered
        raise ExistsError(f"{out} holds something else; choose another --out or give --force")
    with ArtifactWriter(out, force=force) as writer:
        for artifact in (bundle, report):
            artifact.copy_files(writer.path)
        description = Description(
            kind=ArtifactKind.BUNDLE,
            key=digest_of([parent.digest for parent in parents]),
            parents=parents,
            contract=bundle.manifest.contract,
            tensors=bundle.manifest.tensors,
            config=bundle.manifest.config,
            data=bundle.manifest.data,
            seed=bundle.manifest.seed,
            environment=environment(),
        )
        return writer.commit(description, measured=report.manifest.measured)


def _out(stage: Stage, config: BuildConfig, inputs: Inputs, work: Path) -> Path | None:
    """Where the stage's artifact lies in `work`; None while a parent is missing."""
    section = getattr(config, stage.section)
    if stage.kind is ArtifactKind.DATASET:
        key = _data_key(section, inputs)
    elif all(parent in inputs.made for parent in stage.parents):
        parents = (*stage.parents, *(kind for kind in stage.optional if kind in inputs.made))
        key = key_of(stage.kind, section, [inputs[parent].digest for parent in parents])
    else:
        return None
    return work / f"{stage.kind}-{key[:_KEY_CHARACTERS]}"


def _whole(out: Path, kind: ArtifactKind) -> Artifact | None:
    try:
        return Artifact.open(out, kind)
    except ArtifactError:
        return None


def _locked(work: Path) -> AbstractContextManager[None]:
    return locked(work, f"another build is running in {work}; wait for it, or give another --work")


def read_toml(file: Path) -> dict[str, Any]:
    """The values of a TOML file. Raises UsageError if it can not be read or is not TOML."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file} can not be read: {error.strerror}; give a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not valid TOML: {error}") from None


def _data_key(config: DataConfig, inputs: Inputs) -> str:
    from acula_edge.data.stage import DataInputs, data_key

    return data_key(config, DataInputs(inputs.data))


def _run_data(config: DataConfig, inputs: Inputs, out: Path) -> Artifact:
    from acula_edge.data.stage import DataInputs, run

    return run(config, DataInputs(inputs.data), out)


def _run_teacher(config: TeacherConfig, inputs: Inputs, out: Path) -> Artifact:
    from acula_edge.teacher.stage import TeacherInputs, run

    return run(config, TeacherInputs(inputs[ArtifactKind.DATASET]), out)


def _run_distill(config: DistillConfig, inputs: Inputs, out: Path) -> Artifact:
    from distill.stage import DistillInputs, run

    return run(config, DistillInputs(inputs[ArtifactKind.TEACHER], inputs[ArtifactKind.DATASET]), out)


def _run_quantize(config: QuantizeConfig, inputs: Inputs, out: Path) -> Artifact:
    from quantize.stage import QuantizeInputs, run

    student, dataset = inputs[ArtifactKind.STUDENT], inputs[ArtifactKind.DATASET]
    return run(config, QuantizeInputs(student, dataset, inputs.made.get(ArtifactKind.TEACHER)), out)


def _run_target(config: TargetConfig, inputs: Inputs, out: Path) -> Artifact:
    from targets.stage import TargetInputs, run

    return run(config, TargetInputs(inputs[ArtifactKind.QUANTIZED], inputs[ArtifactKind.DATASET]), out)


def _run_bench(config: BenchConfig, inputs: Inputs, out: Path) -> Artifact:
    from acula_edge.bench.stage import BenchInputs, run
    from targets.stethoscope.host_runner import library_of

    bundle, dataset, teacher, quantized = (inputs[kind] for kind in _BENCH_PARENTS)
    return run(config, BenchInputs(bundle, dataset, teacher, quantized, library_of(bundle)), out)


_BENCH_PARENTS = (ArtifactKind.BUNDLE, ArtifactKind.DATASET, ArtifactKind.TEACHER, ArtifactKind.QUANTIZED)

STAGES: tuple[Stage, ...] = (
    Stage(ArtifactKind.DATASET, "data", (), _run_data),
    Stage(ArtifactKind.TEACHER, "teacher", (ArtifactKind.DATASET,), _run_teacher),
    Stage(ArtifactKind.STUDENT, "distill", (ArtifactKind.TEACHER, ArtifactKind.DATASET), _run_distill),
    Stage(
        ArtifactKind.QUANTIZED,
        "quantize",
        (ArtifactKind.STUDENT, ArtifactKind.DATASET),
        _run_quantize,
        (ArtifactKind.TEACHER,),
    ),
    Stage(ArtifactKind.BUNDLE, "target", (ArtifactKind.QUANTIZED, ArtifactKind.DATASET), _run_target),
    Stage(
        ArtifactKind.REPORT,
        "bench",
        _BENCH_PARENTS,
        _run_bench,
    ),
)
