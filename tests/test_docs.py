"""README and manual: every example in them is real, and every generated table is up to date."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import soundfile

from acula_edge.bench.report import Report
from acula_edge.bench.results import Performance, Timing
from acula_edge.build import BuildConfig
from acula_edge.data.folder import read_folder
from acula_edge.data.task_choice import resolve_tasks
from acula_edge.evidence.facts import DataFacts
from acula_edge.evidence.results import Accuracy, Estimate, SystemAccuracy, TaskCohort

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MANUAL = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
PAGES = {"README.md": README, "docs/index.md": MANUAL}


def script(name: str) -> dict[str, Any]:
    """What a script defines; it finds its neighbours, as when it is started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str((ROOT / name).parent))
        return runpy.run_path(str(ROOT / name))


def code(page: str, language: str) -> str:
    """The first block of code in that language."""
    found = re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)
    assert found
    return found.group(1)


def test_the_manual_says_what_the_code_says() -> None:
    assert script("docs/generate.py")["updated"](MANUAL) == MANUAL


def test_a_changed_table_is_seen() -> None:
    changed = MANUAL.replace("| `sample_rate_hz` | 4000 |", "| `sample_rate_hz` | 8000 |")
    assert changed != MANUAL
    assert script("docs/generate.py")["updated"](changed) == MANUAL


def test_the_readme_shows_the_committed_results() -> None:
    tables = script("benchmarks/tables.py")
    assert tables["refreshed"](README, ROOT / "benchmarks" / "results") == README


@pytest.mark.parametrize("name", ["build", "test"])
def test_each_readme_command_is_one_line_between_its_markers(name: str) -> None:
    found = re.search(rf"<!-- {name}:begin -->\n```\n(.+)\n```\n<!-- {name}:end -->", README)
    assert found
    assert found.group(1).startswith("pip install '.[build")
    assert " && acula-edge models add whisper-base minilm" in found.group(1)


@pytest.mark.parametrize("page", PAGES)
def test_links_within_the_repository_lead_somewhere(page: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]) if "://" not in link]
    assert links
    for link in links:
        file, _, anchor = link.partition("#")
        target = (ROOT / page).parent / file if file else ROOT / page
        assert target.is_file(), link
        headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        assert not anchor or anchor in {_anchor(heading) for heading in headings}, link


def _anchor(heading: str) -> str:
    """As GitHub and most renderers make it: lower case, without punctuation, hyphens for spaces."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_metadata_example_is_a_recordings_folder(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text(code(README, "csv"), encoding="utf-8")
    rows = read_folder(tmp_path).rows
    assert [(row.path, row.label, row.patient) for row in rows] == [
        ("p01_left.wav", "crackle", "p01"),
        ("p02_left.wav", "normal", "p02"),
    ]
    (task,) = resolve_tasks(rows, ())
    assert [rule.name for rule in task.classes] == ["normal", "crackle"]
    assert {"WAV", "FLAC", "OGG", "MP3"} <= set(soundfile.available_formats())


def test_the_configuration_example_loads(tmp_path: Path) -> None:
    file = tmp_path / "build.toml"
    file.write_text(code(MANUAL, "toml"), encoding="utf-8")
    config = BuildConfig.load(file, "android", seed=None)
    assert config.data.max_broken_fraction == 0.02
    assert config.data.tasks[0].label_of("clinic", {"label": "both"}) == 1
    assert config.bench.latency_runs == 200


def test_the_gates_example_loads(tmp_path: Path) -> None:
    file = tmp_path / "build.toml"
    file.write_text(code(MANUAL[MANUAL.index("## INT8") :], "toml"), encoding="utf-8")
    config = BuildConfig.load(file, "android", seed=None).quantize
    assert config.gates.max_auroc_drop.task == 0.05
    assert config.gates.non_inferiority_margin.task is None
    assert config.thresholds.sensitivity == 0.9


def report() -> Report:
    sure = Estimate(value=0.8125, low=0.75, high=0.875, degenerate=0)
    cohort = TaskCohort(
        task="murmur",
        dataset="clinic",
        metric="auroc",
        classes=("normal", "murmur"),
        counts=(30, 12),
        patients=20,
        patients_named=True,
    )
    system = SystemAccuracy(
        system="int8_pte", title="INT8", ran_in="ExecuTorch", tasks={"murmur": sure}, mean=sure
    )
    timing = Timing(
        part="network",
        precision="int8",
        runtime="pte",
        file="model.pte",
        threads=1,
        size_bytes=204800,
        idle_bytes=2**20,
        peak_bytes=3 * 2**20,
        median_ms=0.421,
        p90_ms=0.5,
        samples_ms=(0.421, 0.421, 0.5),
    )
    return Report(
        verdict="The aligned teacher does not clearly beat its base encoder.",
        notice="Research software.",
        simulated=False,
        data=DataFacts(digest="0" * 64, datasets=(), broken=(), findings=()),
        accuracy=Accuracy(resamples=1000, seed=0, cohorts=(cohort,), systems=(system,), differences=()),
        performance=Performance(
            device="a test host",
            environment={},
            clip_seconds=8.0,
            runs=3,
            warmup=1,
            timings=(timing,),
            not_measured=("phones",),
        ),
        ops={},
        parity=(),
        limitations=("No phone was used.",),
        parents=(),
    )


def test_results_are_written_from_the_report_alone(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "clinic.json").write_text(report().model_dump_json(), encoding="utf-8")
    tables = script("benchmarks/tables.py")
    text = tables["updated"](README, "results", tables["results"](tmp_path))
    block = text[text.index("<!-- results:begin -->") : text.index("<!-- results:end -->")]
    for shown in (
        "### clinic",
        "does not clearly beat",
        "0.812 (0.750 to 0.875)",
        "0.421",
        "a test host",
        "- No phone was used.",
    ):
        assert shown in block
    assert text.replace(block, "") == README.replace(
        README[README.index("<!-- results:begin -->") : README.index("<!-- results:end -->")], ""
    )
    assert tables["updated"](text, "results", tables["results"](tmp_path)) == text


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(SystemExit, match="lacks the markers"):
        script("benchmarks/tables.py")["updated"]("# no markers", "results", "")
    with pytest.raises(SystemExit, match="lacks the markers"):
        script("docs/generate.py")["updated"]("# no markers")
