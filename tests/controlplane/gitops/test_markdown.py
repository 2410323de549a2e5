"""S6: whatever a name or a sentence holds, a host shows it as it is and takes it for nothing else."""

import re

import pytest

from controlplane.gitops.git_state import CommitReport, PendingCommit
from controlplane.gitops.markdown import comment, comment_mark, context_of, fenced, proposal, status_text

EVIL = [
    "@everyone look at #1",
    "<script>alert(1)</script>",
    "[click](javascript:alert(1))",
    "![x](https://evil.example/pixel)",
    "```\nout of the block\n```",
    "````text\nout of the longer block\n````",
    "--> <b>out of the mark</b> <!--",
    "\x1b[2Jgone\u202eback",
    "Closes #7\nfixes team/models#8",
]


def outside(text: str) -> str:
    """What is in no block of code, as CommonMark finds its end."""
    fence = re.search(r"^(`{3,})text$", text, re.MULTILINE)
    assert fence is not None
    end = re.search(rf"^`{{{len(fence[1])},}}$", text[fence.end() :], re.MULTILINE)
    assert end is not None
    return text[: fence.start()] + text[fence.end() + end.end() :]


@pytest.mark.parametrize("evil", EVIL)
def test_s6_a_foreign_word_stands_in_a_block_of_code_and_nowhere_else(evil: str) -> None:
    """In the pull request, in the comment and in what is said when it is closed."""
    writing = PendingCommit("put back", "chat/1", "now", "chat", "r", "a", f"Roll back chat\n\n{evil}\n")
    report = CommitReport("chat", "r", "c" * 40, "serinus/chat", "failure", evil)
    for text in (proposal(writing)[1], comment(report, ""), fenced(evil)):
        around = outside(text)
        for word in ("@", "#", "<script", "<b>", "javascript", "evil.example", "out of", "gone"):
            assert word not in around
        assert "\x1b" not in text
        assert "\u202e" not in text


@pytest.mark.parametrize("evil", EVIL)
def test_s6_no_name_gets_out_of_a_hidden_mark_or_into_a_second_line_of_a_title(evil: str) -> None:
    report = CommitReport(evil, "r", "c" * 40, context_of(evil), "pending", "x")
    mark = comment_mark(report)
    assert re.fullmatch(r"<!-- serinus: [A-Za-z0-9./:_-]* -->", mark)
    assert "--" not in mark[4:-3]
    title, _ = proposal(PendingCommit("promote", evil, "now", evil, "r", "a", f"Promote {evil}"))
    assert title.isprintable()
    assert context_of(evil).isprintable()
    assert status_text(evil).isprintable()


def test_two_rollouts_have_two_marks() -> None:
    """So that each finds its own comment."""
    one, other = (CommitReport(name, "r", "c", context_of(name), "pending", "x") for name in ("chat", "chat-2"))
    assert comment_mark(one) != comment_mark(other)


def test_a_status_is_cut_between_words_and_never_longer_than_hosts_take() -> None:
    assert status_text("short") == "short"
    assert status_text("two\nlines") == "two lines"
    cut = status_text("word " * 100)
    assert len(cut) <= 140
    assert cut.endswith("word…")
    assert len(status_text("x" * 1000)) == 140
    assert len(context_of("a/" * 500)) <= 200


def test_a_text_keeps_its_lines_and_indents() -> None:
    assert fenced("one\n\n  canary  30 %\n  stable  1 %\n") == "```text\none\n\n  canary  30 %\n  stable  1 %\n```"


def test_a_long_text_is_cut_before_the_host_refuses_it() -> None:
    writing = PendingCommit("put back", "chat/1", "now", "chat", "r", "a", "Roll back chat\n\n" + "x" * 100_000)
    assert len(proposal(writing)[1]) < 65_000
