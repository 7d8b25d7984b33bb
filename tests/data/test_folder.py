"""metadata.csv: what is written is read, and each mistake is named with its line and column."""

from __future__ import annotations

import csv
import io
import posixpath
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acula_edge.data.folder import Folder, folder_digest, read_folder
from acula_edge.errors import DataError
from tests.data.sounds import two_class_rows, write_folder

cells = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12).map(str.strip)
names = st.text(st.sampled_from("abcXYZ019-_ é,"), min_size=1, max_size=12).filter(lambda name: name.strip())


def folder_of(tmp_path: Path, text: str) -> Folder:
    (tmp_path / "metadata.csv").write_text(text, encoding="utf-8")
    return read_folder(tmp_path)


written = st.tuples(names, cells, cells, cells)


@given(rows=st.lists(written, min_size=1, max_size=6, unique_by=lambda row: row[0].strip()))
def test_rows_survive(
    rows: list[tuple[str, str, str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["path", "label", "patient_id", "body_site"])
    writer.writerows([(f"{name.strip()}.wav", *rest) for name, *rest in rows])
    root = tmp_path_factory.getbasetemp() / "rows"
    root.mkdir(exist_ok=True)
    found = folder_of(root, stream.getvalue()).rows
    assert [row.path for row in found] == [posixpath.normpath(f"{row[0].strip()}.wav") for row in rows]
    assert [(row.label, row.patient, row.fields.get("body_site", "")) for row in found] == [
        tuple(row[1:]) for row in rows
    ]


def test_defaults_and_fields(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "path,label,age,sex\nx/./a.wav,normal,44,\n\nb.wav,murmur,,F\n")
    first, second = folder.rows
    assert (first.line, first.path, first.dataset, first.recording_id) == (2, "x/a.wav", "recordings", "x/a")
    assert (first.patient, first.split, first.label, first.fields) == ("", "", "normal", {"age": "44"})
    assert (second.line, second.fields, second.values) == (4, {"sex": "F"}, {"sex": "F", "label": "murmur"})


def test_a_byte_order_mark_and_spaces_are_no_part_of_a_name(tmp_path: Path) -> None:
    assert folder_of(tmp_path, "\ufeffpath , label\n a.wav , ill \n").rows[0].label == "ill"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("path,label\n", "holds no recordings"),
        ("path,diagnosis\na.wav,x\n", "has no column label; its columns are path, diagnosis"),
        ("label\nx\n", "has no column path"),
        ("path,label,path\na.wav,x,b.wav\n", "column 'path' stands twice"),
        ("path,label\na.wav,x\nb.wav\n", "line 3: 1 fields where the header has 2"),
        ("path,label\na.wav,x, y\n", "line 2: 3 fields where the header has 2"),
        ("path,label\n,x\n", "line 2: the column path is empty"),
        ("path,label\n../a.wav,x\n", "line 2: path '../a.wav' leaves the folder"),
        ("path,label\nx/../../a.wav,x\n", "leaves the folder"),
        ("path,label\n/a.wav,x\n", "leaves the folder"),
        ("path,label\na.wav,x\nb.wav,y\n./a.wav,x\n", "line 4: the path 'a.wav' stands in line 2 too"),
        ("path,label,recording_id\na.wav,x,7\nb.wav,y,7\n", "line 3: the recording_id 'recordings/7' stands"),
        ('path,label\n"a.wav,x\n', "not valid CSV"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        folder_of(tmp_path, text)
    assert sentence in str(caught.value)
    assert "metadata.csv" in str(caught.value)


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_bytes("path,label\na.wav,gesund für immer\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_folder(tmp_path)


def test_the_folder_itself(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder"):
        read_folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"holds no metadata\.csv"):
        read_folder(tmp_path)
    with pytest.raises(DataError, match="there is no such folder"):
        folder_digest(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file"):
        read_folder(tmp_path / "file")


def test_the_same_recording_id_in_two_data_sets_is_two_recordings(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "path,label,dataset,recording_id\na.wav,x,one,7\nb.wav,y,two,7\n")
    assert [row.id for row in folder.rows] == ["one/7", "two/7"]


def test_the_digest_sees_every_byte(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", two_class_rows(2))
    seen = {folder_digest(folder)}
    assert folder_digest(write_folder(tmp_path / "b", two_class_rows(2))) in seen
    audio = folder / "p1_0.wav"
    data = bytearray(audio.read_bytes())
    data[-1] ^= 1
    audio.write_bytes(data)
    seen.add(folder_digest(folder))
    audio.unlink()
    seen.add(folder_digest(folder))
    with (folder / "metadata.csv").open("a") as stream:
        stream.write("\n")
    seen.add(folder_digest(folder))
    assert len(seen) == 4


def test_the_collection(recordings_root: Path | None, mini_folder: Path) -> None:
    rows = read_folder(recordings_root or mini_folder).rows
    assert all((recordings_root or mini_folder).joinpath(row.path).is_file() for row in rows)
    assert len({row.id for row in rows}) == len(rows)
