"""The state folder is held by one controller at a time."""

from pathlib import Path

import pytest

from canary.errors import BadInput
from controlplane.adapters.state_folder import default_state_folder, held


def test_a_second_controller_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    """Two controllers on one state would fight over the route."""
    with held(tmp_path / "s"), pytest.raises(BadInput, match=r"Process \d+ already carries out"), held(tmp_path / "s"):
        pass


def test_the_folder_is_free_again_after_the_block(tmp_path: Path) -> None:
    """Leaving gives it back."""
    for _ in range(2):
        with held(tmp_path / "s") as folder:
            assert folder.is_dir()


def test_a_folder_that_cannot_be_made_is_bad_input(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="nothing was started"), held(tmp_path / "file" / "s"):
        pass


def test_the_default_is_the_users_state_directory() -> None:
    """XDG first."""
    assert default_state_folder("m", {"XDG_STATE_HOME": "/x"}) == Path("/x/serinus/m")
    assert default_state_folder("m", {}).parts[-4:] == (".local", "state", "serinus", "m")


@pytest.mark.parametrize("name", ["", ".", "..", "../other", "/etc", "a/b", "a\0b"])
def test_s14_no_name_leads_out_of_the_state_directory(name: str) -> None:
    with pytest.raises(BadInput, match="cannot be the name of a rollout"):
        default_state_folder(name, {"XDG_STATE_HOME": "/state"})
