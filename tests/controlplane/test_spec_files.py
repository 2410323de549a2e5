"""Reading canary.yml from disk, with the settings file beside a short form."""

import io
import os
from pathlib import Path

import pytest

from canary.errors import BadInput, SpecError
from canary.spec.reader import SIZE_LIMIT
from controlplane.spec_files import load, read_source, settings_beside

SHORT = "model: m\nvariants: [{name: a}, {name: b}]\ntraffic_split: 95/5\n"
FULL = (
    "metadata: {name: a}\nspec: {model: {name: m}, stable: {name: a}, canary: {name: b}, stages: [{traffic: 100%}]}\n"
)


def test_a_short_form_is_completed_by_the_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "canary.yml").write_text(SHORT)
    (tmp_path / "serinus.yml").write_text("maxBlind: 9m\n")
    assert load(tmp_path / "canary.yml").canary.spec.max_blind == 540


def test_the_visible_settings_file_comes_before_the_hidden_one(tmp_path: Path) -> None:
    (tmp_path / "canary.yml").write_text(SHORT)
    (tmp_path / ".serinus.yml").write_text("maxBlind: 1m\n")
    assert load(tmp_path / "canary.yml").canary.spec.max_blind == 60
    (tmp_path / "serinus.yml").write_text("maxBlind: 2m\n")
    assert load(tmp_path / "canary.yml").canary.spec.max_blind == 120


def test_named_settings_come_before_those_beside(tmp_path: Path) -> None:
    (tmp_path / "canary.yml").write_text(SHORT)
    (tmp_path / "serinus.yml").write_text("maxBlind: 2m\n")
    (tmp_path / "other.yml").write_text("maxBlind: 3m\n")
    assert load(tmp_path / "canary.yml", settings=tmp_path / "other.yml").canary.spec.max_blind == 180


def test_options_come_before_settings(tmp_path: Path) -> None:
    (tmp_path / "canary.yml").write_text(SHORT)
    (tmp_path / "serinus.yml").write_text("maxBlind: 2m\n")
    assert load(tmp_path / "canary.yml", options={"maxBlind": "4m"}).canary.spec.max_blind == 240


def test_broken_settings_do_not_matter_to_a_full_form(tmp_path: Path) -> None:
    (tmp_path / "canary.yml").write_text(FULL)
    (tmp_path / "serinus.yml").write_text("[")
    assert load(tmp_path / "canary.yml").form == "full"


def test_faults_of_settings_carry_the_name_of_the_settings_file(tmp_path: Path) -> None:
    (tmp_path / "canary.yml").write_text(SHORT)
    (tmp_path / "serinus.yml").write_text("maxBlind: soon\n")
    with pytest.raises(SpecError) as refused:
        load(tmp_path / "canary.yml")
    assert [fault.file for fault in refused.value.faults] == [str(tmp_path / "serinus.yml")]


def test_standard_input_has_a_name_and_no_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "serinus.yml").write_text("[")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(SHORT.replace("95/5", "95").encode())))
    with pytest.raises(SpecError, match="<stdin>:3:16"):
        load("-")
    assert settings_beside("-") is None


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    """Kubernetes mounts its files as links."""
    (tmp_path / "real.yml").write_text(FULL)
    (tmp_path / "canary.yml").symlink_to(tmp_path / "real.yml")
    assert load(tmp_path / "canary.yml").canary.metadata.name == "a"


def test_no_more_is_read_than_a_canary_yml_may_have(tmp_path: Path) -> None:
    """A sparse file of a terabyte costs nothing."""
    path = tmp_path / "canary.yml"
    with path.open("wb") as opened:
        opened.truncate(2**40)
    assert len(read_source(path).text) == SIZE_LIMIT + 1
    with pytest.raises(SpecError, match="larger than 256 KiB"):
        load(path)


def test_what_is_no_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, words in {
        ".": "is a folder",
        "pipe": "not a regular file",
        "missing.yml": "does not exist",
        "loop": "cannot be read",
        "a\0b": "cannot be read",
        "x" * 300: "cannot be read",
    }.items():
        with pytest.raises(BadInput, match=words):
            load(f"{tmp_path}/{name}")


def test_settings_that_were_named_must_exist(tmp_path: Path) -> None:
    (tmp_path / "canary.yml").write_text(SHORT)
    with pytest.raises(BadInput, match="does not exist"):
        load(tmp_path / "canary.yml", settings=tmp_path / "none.yml")
