"""The state folder is held by one controller at a time."""

from pathlib import Path

import pytest

from canary.errors import BadInput
from controlplane.adapters.state_dir import default_cache_folder, default_state_folder, locked
from tests.controlplane.other_user import exposed


def test_a_second_controller_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    """Two controllers on one state would fight over the route."""
    with (
        locked(tmp_path / "s"),
        pytest.raises(BadInput, match=r"Process \d+ already carries out"),
        locked(tmp_path / "s"),
    ):
        pass


def test_the_folder_is_free_again_after_the_block(tmp_path: Path) -> None:
    """Leaving gives it back."""
    for _ in range(2):
        with locked(tmp_path / "s") as folder:
            assert folder.is_dir()


def test_a_folder_that_cannot_be_made_is_bad_input(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="nothing was started"), locked(tmp_path / "file" / "s"):
        pass


def test_the_default_is_the_users_state_directory() -> None:
    """XDG first."""
    assert default_state_folder("m", {"XDG_STATE_HOME": "/x"}) == Path("/x/serinus/m")
    assert default_state_folder("m", {}).parts[-4:] == (".local", "state", "serinus", "m")


@pytest.mark.parametrize("name", ["", ".", "..", "../other", "/etc", "a/b", "a\0b"])
def test_s14_no_name_leads_out_of_the_state_directory(name: str) -> None:
    with pytest.raises(BadInput, match="cannot be the name of a rollout"):
        default_state_folder(name, {"XDG_STATE_HOME": "/state"})


def test_s7_a_state_that_an_older_build_left_open_is_closed_at_the_start(tmp_path: Path) -> None:
    state = tmp_path / "s"
    (state / "logs").mkdir(parents=True)
    (state / "logs" / "v1-0.log").write_text("a prompt")
    for path in (state, state / "logs", state / "logs" / "v1-0.log"):
        path.chmod(0o755)
    with locked(state):
        assert exposed(state) == []


def test_s7_the_users_folder_of_states_is_closed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of rollouts are no business of others either."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "serinus").mkdir()
    (tmp_path / "serinus").chmod(0o755)
    with locked(default_state_folder("chat")):
        assert exposed(tmp_path / "serinus") == []


def test_s7_a_link_in_place_of_the_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "s").symlink_to("elsewhere")
    with pytest.raises(BadInput, match="is a link"), locked(tmp_path / "s"):
        pass
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_copies_are_kept_in_the_users_own_cache(tmp_path: Path) -> None:
    assert default_cache_folder("git", {"XDG_CACHE_HOME": "/x"}) == Path("/x/serinus/git")
    assert default_cache_folder("git", {"HOME": "/home/ann"}) == Path("/home/ann/.cache/serinus/git")
