"""What a person is asked before a word that hurts is passed on. The answers of a real run are in `test_run.py`."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from controlplane.cli import ask
from controlplane.cli.main import serinus


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process carries the rollout out, so nothing is waited for."""
    monkeypatch.setattr(ask, "PATIENCE", 0.0)


def said(*arguments: object, answer: str = "") -> Result:
    return CliRunner().invoke(serinus, [str(each) for each in arguments], input=answer)


@pytest.mark.parametrize("verb", sorted(ask.HARMFUL))
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


def test_nothing_is_feared_where_the_rollout_has_ended(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "somebody_sits_there", lambda: True)
    refused = said("abort", "chat", "--state", root / "chat")
    assert (refused.exit_code, "nothing was asked" in refused.stderr) == (1, True)
