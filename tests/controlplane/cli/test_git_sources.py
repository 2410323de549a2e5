"""Where copies of repositories are kept: in one's own cache, and never where another user could replace them."""

import os
from pathlib import Path

import pytest

from canary.errors import BadInput
from controlplane.cli.git_sources import _cache
from tests.controlplane.other_user import AS_ROOT, NOBODY, exposed


def test_s7_copies_are_kept_in_ones_own_cache_and_not_in_a_folder_that_all_users_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert _cache(None) == tmp_path / "cache" / "serinus" / "git"
    assert exposed(tmp_path / "cache") == []


def test_s7_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    """Only root can make one here; what belongs to root, such as a volume of a pod, is taken by everybody."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    if AS_ROOT:
        os.chown(theirs, NOBODY, NOBODY)
        with pytest.raises(BadInput, match="it belongs to nobody"):
            _cache(theirs)
    else:
        assert _cache(Path("/usr")) == Path("/usr")
    with pytest.raises(BadInput, match="cannot be kept in"):
        _cache(Path("/proc/nowhere"))
