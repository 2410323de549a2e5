"""Files are whole or absent."""

from pathlib import Path

import pytest

from controlplane.adapters.process_files import read_json, write_json


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"a": [1, 2.5, "ü"]})
    write_json(tmp_path / "file.json", {"a": None})
    assert read_json(tmp_path / "file.json") == {"a": None}
    assert [file.name for file in tmp_path.iterdir()] == ["file.json"]


@pytest.mark.parametrize("text", ["", "{", "\x00\x00"])
def test_what_a_power_cut_left_is_no_value(tmp_path: Path, text: str) -> None:
    (tmp_path / "file.json").write_text(text)
    assert read_json(tmp_path / "file.json") is None


def test_a_missing_file_is_no_value(tmp_path: Path) -> None:
    assert read_json(tmp_path / "file.json") is None


def test_a_value_that_cannot_be_written_leaves_the_former_one(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "file.json", object())
    assert read_json(tmp_path / "file.json") == 1
