"""The token's file: only its owner's, made anew where others could have read it."""

from pathlib import Path

import pytest

from canary.errors import BadInput
from controlplane.api.keys import FILE, Keys, load_or_create


def test_the_token_is_kept_and_random(tmp_path: Path) -> None:
    first = load_or_create(tmp_path / "a")
    assert load_or_create(tmp_path / "a", keep=True) == first
    assert load_or_create(tmp_path / "b", keep=True) != first
    assert load_or_create(tmp_path / "a") != first
    assert len(first.token) == 43


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o622])
def test_a_token_that_others_could_read_is_replaced(tmp_path: Path, mode: int) -> None:
    first = load_or_create(tmp_path)
    (tmp_path / FILE).chmod(mode)
    assert load_or_create(tmp_path, keep=True) != first
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "short", "x" * 44, "é" * 43])
def test_a_token_that_is_none_is_replaced(tmp_path: Path, content: str) -> None:
    load_or_create(tmp_path)
    (tmp_path / FILE).write_text(content)
    assert load_or_create(tmp_path, keep=True).token not in {"", content}


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Somebody else's file is neither read nor overwritten."""
    other = tmp_path / "other"
    other.write_text("x" * 43)
    other.chmod(0o600)
    (tmp_path / FILE).symlink_to(other)
    assert load_or_create(tmp_path, keep=True).token != "x" * 43
    assert other.read_text() == "x" * 43
    assert not (tmp_path / FILE).is_symlink()


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="nothing was started"):
        load_or_create(tmp_path / "file")


def test_the_derived_keys_say_nothing_of_each_other() -> None:
    keys = Keys("t" * 43)
    assert len({keys.token, keys.cookie, keys.header, keys.cookie_name}) == 4
    assert Keys("u" * 43).cookie != keys.cookie
