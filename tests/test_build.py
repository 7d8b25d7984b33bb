"""The whole line through its command: caching, refusals, and kills in every stage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from acula_edge.artifact import Artifact, ArtifactKind
from acula_edge.build import STAGES, BuildConfig, plan
from acula_edge.errors import AculaError, UsageError
from targets.table import TARGETS

# The smallest line that runs every stage for real: simulated patients, a small encoder, few epochs.
TINY = """
[data]
simulated_patients = 24
[teacher]
encoder = "small"
epochs = 2
pretrain_epochs = 2
[distill]
epochs = 3
[quantize]
calibration_clips = 16
parity_clips = 4
[quantize.gates]
max_auroc_drop = {}
non_inferiority_margin = {}
min_embedding_cka = {}
min_neighbour_overlap = {}
[target]
golden_clips = 4
[bench]
bootstrap_resamples = 100
latency_runs = 5
warmup = 1
threads = [1]
"""


@pytest.fixture(scope="module")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("config") / "tiny.toml"
    file.write_text(TINY)
    return file


def command(*args: str | Path) -> list[str]:
    return [sys.executable, "-m", "acula_edge", *map(str, args)]


def build(config: Path, folder: Path, *more: str | Path) -> subprocess.CompletedProcess[str]:
    """`acula-edge build` in `folder`, in a fresh process."""
    line = command("build", "--target", "android", "--config", config, "--out", "bundle", *more)
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)


def digests(work: Path) -> dict[ArtifactKind, str]:
    """Digest of each artifact in a work folder; there must be one of each kind and nothing half-written."""
    found = {}
    for path in sorted(work.iterdir()):
        if path.is_dir() and path.name != "views":  # a cache, whose rows follow the stages' digests
            artifact = Artifact.open(path)
            assert artifact.verify() == []
            assert artifact.manifest.kind not in found
            found[artifact.manifest.kind] = artifact.digest
    return found


@pytest.fixture(scope="module")
def undisturbed(config_file: Path, weights_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which one build has run from start to end."""
    assert (weights_home / "minilm").is_dir()
    folder = tmp_path_factory.mktemp("undisturbed")
    done = build(config_file, folder)
    assert done.returncode == 0, done.stderr
    assert all(f"{stage.kind}: running" in done.stderr for stage in STAGES)
    return folder


def test_delivery_holds_bundle_and_report_and_is_marked_simulated(undisturbed: Path) -> None:
    bundle = Artifact.open(undisturbed / "bundle", ArtifactKind.BUNDLE)
    assert bundle.verify() == []
    graphs = {"model.pte", "model_pcm.pte", "model.tflite", "model_pcm.tflite", "model.onnx"}
    evidence = {"labels.json", "golden.npz", "README.md", "report.json", "report.md", "report.html"}
    assert all(bundle.has(name) for name in graphs | evidence)
    for name in ("report.md", "report.html", "README.md"):
        text = bundle.file(name).read_text()
        assert "simulated" in text.lower()
        assert "not a medical device" in text


def test_second_run_runs_no_stage_and_changes_nothing(undisturbed: Path, config_file: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*") if path.is_file()}
    done = build(config_file, undisturbed, "--json")
    assert done.returncode == 0, done.stderr
    assert "running" not in done.stderr
    assert done.stderr.count("cached") == len(STAGES)
    assert json.loads(done.stdout)["digest"] == Artifact.open(undisturbed / "bundle").digest
    after = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*") if path.is_file()}
    assert {path for path in before if before[path] != after.get(path)} <= {
        undisturbed / ".acula-edge" / "lock"
    }


def test_planning_a_cached_build_imports_no_torch(undisturbed: Path, config_file: Path) -> None:
    script = (
        "import sys; from acula_edge.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit as stop: assert not stop.code\n"
        "assert 'torch' not in sys.modules"
    )
    args = ["build", "--target", "android", "--config", str(config_file), "--out", "bundle"]
    done = subprocess.run(
        [sys.executable, "-c", script, *args], cwd=undisturbed, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_dry_run_tells_what_a_change_would_redo(undisturbed: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.toml"
    changed.write_text(TINY.replace("calibration_clips = 16", "calibration_clips = 17"))
    done = build(changed, undisturbed, "--dry-run", "--json")
    cached = {row["kind"]: row["cached"] for row in json.loads(done.stdout)["stages"]}
    assert cached == {
        "dataset": True,
        "teacher": True,
        "student": True,
        "quantized": False,
        "bundle": False,
        "report": False,
    }


def test_another_build_does_not_touch_what_is_delivered(undisturbed: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.toml"
    changed.write_text(TINY.replace("golden_clips = 4", "golden_clips = 5"))
    before = Artifact.open(undisturbed / "bundle").digest
    done = build(changed, undisturbed)
    assert done.returncode == 1
    assert "bundle exists already" in done.stderr
    assert "running" not in done.stderr
    assert Artifact.open(undisturbed / "bundle").digest == before


def test_damaged_artifact_in_the_cache_is_made_again(
    undisturbed: Path, config_file: Path, tmp_path: Path
) -> None:
    config = BuildConfig.load(config_file, "android", None)
    work = tmp_path / "work"
    work.mkdir()
    for step in plan(config, None, undisturbed / ".acula-edge"):
        assert step.out is not None
        os.symlink(step.out, work / step.out.name)
    steps = plan(config, None, work)
    assert all(step.cached for step in steps)
    student = steps[2].out
    assert student is not None
    student.unlink()
    student.mkdir()
    (student / "student.safetensors").write_bytes(b"half")
    assert [step.cached is not None for step in plan(config, None, work)] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def test_killed_in_every_stage_ends_with_the_same_digests(
    undisturbed: Path, config_file: Path, tmp_path: Path
) -> None:
    line = command("build", "--target", "android", "--config", config_file, "--out", "bundle")
    for stage in STAGES:
        with subprocess.Popen(line, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            seen = [process.stderr.readline()]
            while KILL_AT[stage.kind] not in seen[-1]:
                seen.append(process.stderr.readline())
                assert seen[-1], f"ended before {stage.kind} was half done: {seen}"
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        made = [path.name for path in (tmp_path / ".acula-edge").iterdir()]
        assert [name for name in made if name.startswith(f"{stage.kind}-")] == []
    done = build(config_file, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "align shuffled 1/2" not in done.stderr, "a resumed build has lost its checkpoints"
    assert digests(tmp_path / ".acula-edge") == digests(undisturbed / ".acula-edge")
    assert Artifact.open(tmp_path / "bundle").digest == Artifact.open(undisturbed / "bundle").digest


# A line on stderr that each stage prints when it has begun and is far from done.
KILL_AT = {
    ArtifactKind.DATASET: "No data folder",
    ArtifactKind.TEACHER: "align shuffled 1/2",
    ArtifactKind.STUDENT: "distill 2/3",
    ArtifactKind.QUANTIZED: "parity of every file",
    ArtifactKind.BUNDLE: "golden vectors",
    ArtifactKind.REPORT: "report: running",
}


def test_two_builds_in_one_work_folder_are_refused(undisturbed: Path, config_file: Path) -> None:
    import fcntl

    with (undisturbed / ".acula-edge" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = build(config_file, undisturbed)
    assert done.returncode == 1
    assert "another build is running" in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[teacher]\nepoch = 3\n", "teacher.epoch is not a key of this section"),
        ("[teachers]\n", "teachers is not a key of this section"),
        ("[distill]\nepochs = 0\n", "distill.epochs"),
        ("[teacher\n", "not valid TOML"),
        ('[quantize.scheme]\npte = "weight-only"\n', "weight-only is not for .pte"),
    ],
)
def test_wrong_config_is_a_sentence_and_exit_2(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    done = build(file, tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wrong.toml"]


@pytest.mark.parametrize(
    ("section", "values"),
    [("scheme", {"tflite": "dynamic"}), ("scheme", {"float_modules": ["head"]}), ("tuning", {})],
)
def test_a_target_with_int8_kernels_alone_refuses_other_schemes(
    section: str, values: dict[str, object]
) -> None:
    quantize = {section: values}
    assert BuildConfig.model_validate({"quantize": quantize})  # a phone takes them
    with pytest.raises(UsageError, match="stethoscope-m4 has INT8 kernels alone"):
        BuildConfig.model_validate({"target": {"name": "stethoscope-m4"}, "quantize": quantize})


@pytest.mark.parametrize("name", [name for name, entry in TARGETS.items() if entry.integer_only])
def test_a_target_with_int8_kernels_alone_refuses_attention(name: str) -> None:
    distill = {"student": "attention"}
    assert BuildConfig.model_validate({"distill": distill}).distill.student.attends  # a phone takes it
    with pytest.raises(UsageError, match=f"{name} has INT8 kernels alone, and attention is float"):
        BuildConfig.model_validate({"target": {"name": name}, "distill": distill})


def test_unknown_target_names_the_known_ones_before_any_work(tmp_path: Path, config_file: Path) -> None:
    with pytest.raises(UsageError, match="android"):
        BuildConfig.load(config_file, "toaster", None)
    done = subprocess.run(
        command("build", "--target", "toaster"), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_folder_without_recordings_is_a_sentence(tmp_path: Path, config_file: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    done = build(config_file, tmp_path, "--data", folder)
    assert done.returncode == AculaError.exit_code
    assert folder in done.stderr
    assert "Traceback" not in done.stderr


def test_full_disk_is_a_sentence_and_leaves_no_artifact(tmp_path: Path, config_file: Path) -> None:
    script = (
        "import resource, signal, sys; from acula_edge.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "main(sys.argv[1:])"
    )
    args = ["build", "--target", "android", "--config", str(config_file), "--out", "bundle"]
    line = [sys.executable, "-c", script, *args]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "larger than the system allows" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path for path in (tmp_path / ".acula-edge").iterdir() if path.is_dir()] == []
    assert not (tmp_path / "bundle").exists()
