"""What a source remembers survives as a text in a status, large or small, and nothing else is believed."""

import base64
import gzip

import pytest

from canary.errors import BadInput
from controlplane.gitops.git_state import PlanOrigin
from controlplane.gitsources.status_git_state import PACKED, StatusGitState


def origin(number: int) -> PlanOrigin:
    return PlanOrigin(f"apps/a{number}/canary.yml", 7, f"{number:016x}", "0" * 16, "a" * 40, "Ann", "Try something")


def test_a_book_is_the_same_after_it_was_kept() -> None:
    """A fresh one is new, so git is asked what is rejected; one that was kept is not."""
    git_state = StatusGitState("", "apps")
    assert git_state.is_new
    git_state.origin("chat", origin(1))
    again = StatusGitState(git_state.text(), "apps")
    assert (again.state, again.is_new) == (git_state.state, False)
    assert again.text() == git_state.text()


def test_a_thousand_files_fit_into_a_status() -> None:
    """Packed, far below what an object of the API server may hold; the same text whenever it is asked for."""
    git_state = StatusGitState("", "apps")
    for number in range(1000):
        git_state.origin(f"a{number}", origin(number))
    text = git_state.text()
    assert text.startswith(PACKED)
    assert len(text) < 64 * 1024
    assert git_state.text() == text
    assert StatusGitState(text, "apps").state == git_state.state


@pytest.mark.parametrize(
    "text",
    ["{", "[]", f"{PACKED}!", f"{PACKED}{base64.b64encode(gzip.compress(b'[]', mtime=0)).decode()}", "gzip:AAAA"],
)
def test_a_damaged_book_is_refused_by_the_name_of_its_source(text: str) -> None:
    with pytest.raises(BadInput, match="GitSource apps"):
        StatusGitState(text, "apps")


def test_who_asks_again_is_told_once() -> None:
    git_state = StatusGitState("", "apps")
    git_state.ask_again("chat")
    assert (list(git_state.asked_again()), list(git_state.asked_again())) == (["chat"], [])
