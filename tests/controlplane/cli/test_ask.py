"""What a person is asked before a word that hurts is passed on. The answers of a real run are in `test_run.py`."""

import asyncio
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from canary.snapshot import HARMFUL
from controlplane.adapters.sqlite_store import SqliteStore
from controlplane.cli import ask
from controlplane.cli.main import serinus


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process carries the rollout out, so nothing is waited for."""
    monkeypatch.setattr(ask, "PATIENCE", 0.0)


def said(*arguments: object, answer: str = "") -> Result:
    return CliRunner().invoke(serinus, [str(each) for each in arguments], input=answer)


@pytest.mark.parametrize("verb", sorted(HARMFUL))
def test_on_a_terminal_what_hurts_says_its_effect_and_asks(
    verb: str, left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask, "somebody_sits_there", lambda: True)
    refused = said(verb, "search", "--state", left, answer="n\n")
    assert refused.exit_code == 1
    assert "Go on?" in refused.stderr
    assert "No controller answered" not in refused.stderr
    agreed = said(verb, "search", "--state", left, answer="y\n")
    assert (agreed.exit_code, "No controller answered" in agreed.stderr) == (3, True)
    assert "Go on?" not in said(verb, "search", "--state", left, "--yes").stderr


def test_a_script_and_a_word_that_hurts_nobody_are_not_asked(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Go on?" not in said("abort", "search", "--state", left).stderr
    monkeypatch.setattr(ask, "somebody_sits_there", lambda: True)
    assert "Go on?" not in said("pause", "search", "--state", left).stderr


def test_a_share_is_named_before_it_is_skipped_to_and_asked_for(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "somebody_sits_there", lambda: True)
    asked = said("promote", "search", "--to", "100%", "--state", left, answer="y\n")
    assert "All stages before 100 % are skipped unjudged" in asked.stderr
    assert waiting(left) == [("promote", False, 1.0)]
    refused_later = said("promote", "search", "--to", "0.6", "--state", left)
    assert "Go on?" not in refused_later.stderr, "the loop will refuse it, so there is nothing to fear"
    assert waiting(left)[1:] == [("promote", False, 0.6)]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--to", "100%", "--full"), "give one of them. Nothing was asked for."),
        (("--to", "75"), "may be meant in percent or not; write 75%"),
        (("--to", "much"), "expected a share such as 5% or 0.05"),
        (("--to", "101%"), "100%"),
    ],
)
def test_what_is_no_share_or_two_places_is_a_usage_error(words: tuple[str, ...], why: str, left: Path) -> None:
    refused = said("promote", "search", "--state", left, *words)
    assert (refused.exit_code, why in refused.stderr) == (2, True), refused.stderr
    assert waiting(left) == []


def test_only_promote_goes_to_a_share(left: Path) -> None:
    assert said("approve", "search", "--to", "75%", "--state", left).exit_code == 2


def test_the_tab_key_offers_the_shares_that_are_left(left: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def offered(*words: str) -> list[str]:
        begun = ["promote", *words, "--to"]
        return [each.value for each in ShellComplete(serinus, {}, "serinus", "X").get_completions(begun, "")]

    assert offered("search", "--state", str(left)) == ["100%"]
    assert offered("nobody", "--state", str(left)) == []
    assert offered() == []
    assert capfd.readouterr() == ("", "")


def waiting(state: Path) -> list[tuple[str, bool, float | None]]:
    """What the rollout is asked for, and how far."""

    async def read() -> list[tuple[str, bool, float | None]]:
        store = SqliteStore(state / "serinus.db")
        try:
            return [(each.verb, each.full, each.to) for each in await store.requests("search")]
        finally:
            await store.close()

    return asyncio.run(read())


def test_nothing_is_feared_where_the_rollout_has_ended(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "somebody_sits_there", lambda: True)
    refused = said("abort", "chat", "--state", root / "chat")
    assert (refused.exit_code, "nothing was asked" in refused.stderr) == (1, True)
