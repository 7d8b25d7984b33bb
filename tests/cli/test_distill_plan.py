"""`distill plan`: the table, one student's layers, and what does not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from acula_edge.students.families import FAMILIES
from acula_edge.students.plan import plan_of
from tests.cli.conftest import Run


def test_all_families_fit_and_cost_what_the_plan_says(run: Run) -> None:
    done = run("distill", "plan", "--json")
    assert done.code == 0, done.err
    rows = {row["student"]: row for row in json.loads(done.out)}
    assert list(rows) == list(FAMILIES)
    assert all(row["fits"] and row["broken"] == [] for row in rows.values())
    expected = plan_of(FAMILIES["base-streaming"].config, 48, 249, 18)
    assert (
        rows["base-streaming"].items()
        >= {
            "parameters": expected.parameters,
            "macs": expected.macs,
            "peak_activation_bytes": expected.peak_activation_bytes,
            "flash_bytes": expected.flash_bytes,
            "state_bytes": expected.state_bytes,
            "ram_bytes": expected.ram_bytes,
        }.items()
    )
    text = run("distill", "plan").out
    assert [line.split()[0] for line in text.splitlines()[1:]] == list(FAMILIES)
    assert f" {expected.state_bytes} " in text


def test_a_budget_marks_the_table_and_fails_a_named_family(run: Run) -> None:
    budget = ("--budget", "ram=96KiB,mmac=15")
    listed = run("distill", "plan", *budget, "--json")
    assert listed.code == 0
    fits = {row["student"]: row["fits"] for row in json.loads(listed.out)}
    assert [name for name, fit in fits.items() if fit] == ["tiny", "tiny-streaming"]
    assert "no: RAM 105.75 KiB, budget 96.00 KiB" in run("distill", "plan", *budget).out

    named = run("distill", "plan", "small", *budget, "--json")
    assert named.code == 3
    assert json.loads(named.out)[0]["broken"] == ["RAM 105.75 KiB, budget 96.00 KiB"]
    assert named.err == "error: small does not fit: RAM 105.75 KiB, budget 96.00 KiB\n"
    assert run("distill", "plan", "tiny", *budget).code == 0


def test_a_family_that_outgrows_its_own_bounds_fails(run: Run) -> None:
    done = run("distill", "plan", "tiny", "--frames", "600")
    assert done.code == 3
    assert "bytes of activations, the family's bound 65536" in done.err


def test_layers_of_one_student(run: Run) -> None:
    lines = run("distill", "plan", "tiny-streaming", "--layers", "--logits", "7").out.splitlines()
    plan = plan_of(FAMILIES["tiny-streaming"].config, 48, 249, 7)
    assert len(lines) == 1 + len(plan.layers)
    assert lines[1].split() == ["stem", "8x24x124", "3", "88", "214272", "35760", "136", "48"]
    assert lines[-1].split()[:2] == ["head", "7"]
    (row,) = json.loads(run("distill", "plan", "tiny", "--layers", "--json").out)
    assert sum(layer["macs"] for layer in row["layers"]) == row["macs"]


def test_student_and_front_end_of_a_config_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(
        "[data.contract]\nclip_samples = 16000\n"
        "[distill.student]\nstem_channels = 8\nembedding_dim = 16\nblocks = [{channels = 8}]\n"
    )
    (row,) = json.loads(run("distill", "plan", "--config", file, "--json").out)
    assert row["student"] == str(file)
    # 16000 samples make 124 frames, 62 behind the stem: 8 maps of 24 x 62 before and behind the block.
    assert row["peak_activation_bytes"] == 2 * 8 * 24 * 62
    assert run("distill", "plan", "--config", file, "--budget", "flash=1KiB").code == 3


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("huge",), "unknown student family 'huge'"),
        (("tiny", "--budget", "ram=1"), "budget: ram=1: give a number above 0 in B, KiB, MiB"),
        (("--layers",), "--layers shows one student"),
        (("tiny", "--config", "own.toml"), "not both"),
        (("tiny-streaming", "--frames", "15"), "needs 16 frames; 15 are too few"),
    ],
)
def test_wrong_usage_is_a_sentence(run: Run, args: tuple[str, ...], told: str) -> None:
    done = run("distill", "plan", *args)
    assert (done.code, done.out) == (2, "")
    assert told in done.err


def test_planning_does_not_import_torch() -> None:
    script = (
        "import sys; from acula_edge.cli import main\n"
        "try: main(['distill', 'plan', 'base', '--json'])\nexcept SystemExit as stop: assert not stop.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
