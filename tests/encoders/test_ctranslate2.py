"""Reader of CTranslate2 files: what CTranslate2 itself writes is read back; damage is named."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from ctranslate2.specs.model_spec import ModelSpec, NumpyVariable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from acula_edge.encoders.ctranslate2 import read_model
from acula_edge.errors import ArtifactError

DTYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)
arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, max_side=5))
)
each_example_in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


class Specification(ModelSpec):  # type: ignore[misc]
    """A specification of any variables; a text is an alias. Serialised by CTranslate2's own code."""

    name = "ToySpec"
    revision = 7

    def __init__(self, values: dict[str, np.ndarray | str]) -> None:
        super().__init__()
        self.values = values

    def variables(self, prefix: str = "", ordered: bool = False) -> list[tuple[str, object]]:  # noqa: ARG002
        return [
            (name, value if isinstance(value, str) else NumpyVariable(value))
            for name, value in self.values.items()
        ]


def write(folder: Path, /, **values: np.ndarray | str) -> Path:
    Specification(values).save(str(folder))
    return folder / "model.bin"


@each_example_in_one_folder
@given(st.dictionaries(st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1), arrays))
def test_what_ctranslate2_writes_is_read_back(tmp_path: Path, values: dict[str, np.ndarray]) -> None:
    model = read_model(write(tmp_path, **values))
    assert (model.specification, model.revision) == ("ToySpec", 7)
    assert list(model.tensors) == list(values)
    for name, value in values.items():
        read = model.tensors[name].numpy()
        assert read.dtype == value.dtype
        np.testing.assert_array_equal(read, value)


def test_an_alias_stands_for_its_variable(tmp_path: Path) -> None:
    values = {"a/weight": np.arange(6, dtype=np.float16).reshape(2, 3)}
    model = read_model(write(tmp_path, **values, **{"b/weight": "a/weight"}))
    assert model.tensors["b/weight"] is model.tensors["a/weight"]
    write(tmp_path, **values, **{"b/weight": "c/weight"})
    with pytest.raises(ArtifactError, match=r"model\.bin gives b/weight the value of c/weight, which"):
        read_model(tmp_path / "model.bin")


@each_example_in_one_folder
@given(st.data())
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    whole = write(tmp_path, a=np.ones((2, 3), np.float32), b=np.int8(4), c="b").read_bytes()
    size = data.draw(st.integers(0, len(whole) - 1))
    (tmp_path / "model.bin").write_bytes(whole[:size])
    with pytest.raises(ArtifactError, match=rf"model\.bin ends within .* \(byte {size}, expected"):
        read_model(tmp_path / "model.bin")


@each_example_in_one_folder
@given(st.data())
def test_a_damaged_byte_is_refused_or_read(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(write(tmp_path, a=np.ones(3, np.float32), c="a").read_bytes())
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "model.bin").write_bytes(whole)
    try:
        tensors = read_model(tmp_path / "model.bin").tensors
    except ArtifactError:
        return
    assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: struct.pack("<I", 5) + raw[4:], "binary version 5, expected 6"),
        (lambda raw: raw + b"more", "4 bytes after its end"),
        (
            lambda raw: raw.replace(struct.pack("<BI", 0, 12), struct.pack("<BI", 9, 12)),
            "a in element type 9",
        ),
        (
            lambda raw: raw.replace(struct.pack("<BI", 0, 12), struct.pack("<BI", 0, 8)),
            r"a of shape \[3\] and torch\.float32 in 8 bytes",
        ),
        (lambda raw: raw.replace(b"ToySpec\0", b"ToySpec!"), "damaged name in its specification"),
    ],
)
def test_each_contradiction_is_named(tmp_path: Path, damage: object, message: str) -> None:
    path = write(tmp_path, a=np.ones(3, np.float32))
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(ArtifactError, match=message):
        read_model(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"model\.bin can not be read \(No such file"):
        read_model(tmp_path / "model.bin")
