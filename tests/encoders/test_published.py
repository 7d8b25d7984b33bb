"""Strict loading: a checkpoint in OPERA's layout loads, and any that differs is refused by name."""

from __future__ import annotations

import collections
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from acula_edge import weights
from acula_edge.contract import AudioContract
from acula_edge.encoders.opera_ce import load_opera_ce
from acula_edge.encoders.opera_ct import load_opera_ct
from acula_edge.encoders.opera_gt import load_opera_gt
from acula_edge.encoders.protocol import AudioEncoder
from acula_edge.encoders.published import read_state
from acula_edge.encoders.registry import ENCODERS, empty
from acula_edge.errors import ArtifactError
from tests.encoders.opera_checkpoints import blank, save, shapes

LOADERS: dict[str, Callable[[Path], AudioEncoder]] = {
    "ct": load_opera_ct,
    "ce": load_opera_ce,
    "gt": load_opera_gt,
}
CASES = [
    ("ct", "encoder.encoder.htsat.layers.2.blocks.5.attn.qkv.weight"),
    ("ce", "encoder.efficientnet._blocks.9._se_reduce.bias"),
    ("ce", "layer_norm.bias"),
    ("gt", "decoder_blocks.15.attn.meta_mlp.fc1.weight"),
]


@pytest.mark.parametrize(("name", "key"), CASES)
def test_a_missing_weight_is_named(name: str, key: str, tmp_path: Path) -> None:
    state = blank(shapes(name))
    del state[key]
    with pytest.raises(ArtifactError, match=f"encoder-opera{name.upper()}.ckpt .* lacks {key};"):
        LOADERS[name](save(tmp_path, name, state))


@pytest.mark.parametrize(("name", "key"), CASES)
def test_an_extra_weight_is_named(name: str, key: str, tmp_path: Path) -> None:
    state = {**blank(shapes(name)), f"{key}_2": torch.zeros(1)}
    with pytest.raises(ArtifactError, match=f"has the unexpected {key}_2;"):
        LOADERS[name](save(tmp_path, name, state))


@pytest.mark.parametrize(("name", "key"), CASES)
def test_a_misshapen_weight_is_named_with_both_shapes(name: str, key: str, tmp_path: Path) -> None:
    table = shapes(name)
    wrong = (*table[key][:-1], table[key][-1] + 1)
    with pytest.raises(ArtifactError) as caught:
        LOADERS[name](save(tmp_path, name, {**blank(table), key: torch.zeros(wrong)}))
    assert f"has misshapen weights {key} {wrong}, not {table[key]};" in str(caught.value)


def test_all_faults_are_told_at_once_the_first_few_by_name(tmp_path: Path) -> None:
    state = blank(shapes("ce"))
    for key in [key for key in state if "_blocks.3." in key]:
        state[key.replace("_blocks.3.", "_blocks.33.")] = state.pop(key)
    told = r"lacks \S+_blocks\.3\.\S+ .*, 18 more; it has the unexpected \S+_blocks\.33\.\S+ .*, 18 more;"
    with pytest.raises(ArtifactError, match=told):
        load_opera_ce(save(tmp_path, "ce", state))


def test_what_opera_does_not_run_may_have_any_shape(tmp_path: Path) -> None:
    state = blank(shapes("ct"))
    state["encoder.encoder.htsat.logmel_extractor.melW"] = torch.zeros(201, 64)
    del state["encoder.encoder.htsat.head.bias"]
    load_opera_ct(save(tmp_path, "ct", state))


@pytest.mark.parametrize("name", LOADERS)
def test_the_registry_loads_it_and_rebuilds_it_from_its_own_state(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(tmp_path / f"opera-{name}", name, blank(shapes(name)))
    asked: list[str] = []
    monkeypatch.setattr(weights, "folder", lambda entry: (asked.append(entry), folder)[1])
    contract = AudioContract()
    loaded = ENCODERS[f"opera-{name}"].pretrained(contract)
    assert asked == [f"opera-{name}"]
    assert not loaded.training
    assert loaded.pretrained
    again = empty(f"opera-{name}", contract)
    again.load_state_dict(loaded.state_dict())
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in loaded.state_dict().items())


class _Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("ran",))


def _written(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"state_dict": {"a": torch.zeros(1)}, "more": _Harmful()}, "is damaged or holds more than weights"),
        ({"model": {"a": torch.zeros(1)}}, "has no state_dict"),
        ({"state_dict": {"a": 3}}, "holds a, which is no tensor"),
        (torch.zeros(3), "has no state_dict"),
    ],
)
def test_other_files_are_refused_and_run_nothing(
    content: Any, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _written(tmp_path / "file.ckpt", content)
    with pytest.raises(ArtifactError, match=told) as caught:
        read_state(path)
    assert str(caught.value).startswith(f"{path} ")
    assert "ran" not in capsys.readouterr().out


def test_a_cut_or_absent_file_is_refused(tmp_path: Path) -> None:
    path = _written(tmp_path / "file.ckpt", {"state_dict": {"a": torch.zeros(100)}})
    assert read_state(path).keys() == {"a"}
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ArtifactError, match="is damaged or holds more than weights"):
        read_state(path)
    path.write_bytes(b"")
    with pytest.raises(ArtifactError, match="is damaged or holds more than weights"):
        read_state(path)
    with pytest.raises(ArtifactError, match="can not be read"):
        read_state(tmp_path / "none.ckpt")


def test_an_ordered_state_reads_as_a_plain_one(tmp_path: Path) -> None:
    state: collections.OrderedDict[str, Tensor] = collections.OrderedDict(a=torch.ones(2))
    assert torch.equal(
        read_state(_written(tmp_path / "file.ckpt", {"state_dict": state}))["a"], torch.ones(2)
    )
