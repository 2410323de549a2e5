"""`serinus events`: what a cluster would tell in Events, by the operator's own rule."""

import json
from itertools import pairwise
from pathlib import Path

from click.testing import CliRunner, Result

from controlplane.cli.main import serinus


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(serinus, [str(each) for each in arguments])


def test_a_rollback_is_a_warning_with_its_reason_and_sentence(root: Path) -> None:
    result = invoke("events", "chat", "--state", root / "chat")
    head, *rows = result.output.splitlines()
    assert head.split("   ")[0] == "LAST SEEN"
    cause = invoke("why", "chat", "--state", root / "chat").output.splitlines()[1]
    assert any("Warning" in row and row.endswith(cause) for row in rows)
    assert "Warning" not in invoke("events", "search", "--state", root / "search").output


def test_it_is_a_part_of_the_history_and_each_sentence_stands_once(root: Path) -> None:
    told = invoke("events", "chat", "--state", root / "chat", "-o", "json").output.splitlines()
    history = invoke("history", "chat", "--state", root / "chat", "-o", "json").output.splitlines()
    assert set(told) < set(history)
    sentences = [json.loads(line)["message"] for line in told]
    assert all(first != second for first, second in pairwise(sentences))


def test_headings_can_be_left_out_and_an_attempt_that_never_was_is_bad_input(root: Path) -> None:
    assert "LAST SEEN" not in invoke("events", "chat", "--state", root / "chat", "--no-headers").output
    assert invoke("events", "chat", "--state", root / "chat", "--attempt", 7).exit_code == 2
