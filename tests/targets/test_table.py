"""The table of targets."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from acula_edge.errors import UsageError
from targets.config import TargetConfig
from targets.table import TARGETS, target


def test_every_target_says_what_it_is() -> None:
    cores = {
        f"{kind}-{name}" for kind in ("stethoscope", "executorch") for name in ("m4", "m7", "m33", "m55")
    }
    npus = {f"ethos-{name}" for name in ("u55-32", "u55-128", "u55-256", "u65-256", "u85-256")}
    assert set(TARGETS) == {"android"} | cores | npus
    for name, entry in TARGETS.items():
        assert entry.name == name
        assert entry.description
        assert entry.runtimes
        assert {file.rsplit(".", 1)[1] for file in entry.files} == {
            str(runtime) for runtime in entry.runtimes
        }


@pytest.mark.parametrize("make", [target, lambda name: TargetConfig(name=name)])
def test_an_unknown_target_names_the_valid_ones(make: object) -> None:
    assert callable(make)
    with pytest.raises(UsageError, match="there is no target ios; the targets are: android") as caught:
        make("ios")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("wrong", [{"golden_clips": 0}, {"clips": 3}])
def test_a_wrong_config_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        TargetConfig.model_validate(wrong)


def test_configs_import_nothing_heavy() -> None:
    code = (
        "import sys, targets.config, quantize.config, acula_edge.students.config\n"
        "print(sorted(set(sys.modules) & {'torch', 'executorch', 'onnx', 'jinja2', 'scipy', 'soxr'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
