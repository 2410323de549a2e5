"""`serinus report`: the page of `kubectl canary report`, of a rollout on this machine."""

from pathlib import Path

from click.testing import CliRunner, Result

from controlplane.cli.main import serinus
from tests.controlplane.kubectl.test_report import Page


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(serinus, [str(each) for each in arguments])


def test_the_page_has_the_cause_the_difference_the_history_and_where_it_ran(root: Path) -> None:
    told = invoke("report", "chat", "--state", root / "chat").stdout
    page = Page(told)
    assert page.open == []
    assert page.tags.isdisjoint({"script", "link", "img", "iframe", "object", "form"})
    assert invoke("why", "chat", "--state", root / "chat").output.splitlines()[1] in page.text
    assert f"on this machine in {root / 'chat'}" in page.text
    assert "--new" in page.text


def test_as_text_it_is_the_screen_and_the_history(root: Path) -> None:
    told = invoke("report", "chat", "--state", root / "chat", "-o", "text").stdout
    assert "✖ rolled back" in told
    assert told.endswith(invoke("history", "chat", "--state", root / "chat").stdout)


def test_it_is_written_where_it_is_wanted_or_says_why_not(root: Path) -> None:
    asked = ("report", "search", "--state", root / "search", "-f")
    assert invoke(*asked, root / "r.html").exit_code == 0
    assert (root / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    refused = invoke(*asked, root / "none" / "r.html")
    assert refused.exit_code == 2
    assert "cannot be written" in refused.stderr
