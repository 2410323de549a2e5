"""What Serinus says on a git host: the text of a pull request, of a comment and of a status.

Used by `pull_requests.py` and `commit_statuses.py`. Pure. Every word that comes from a file or a measurement stands in
a block of code, where no host takes it for a mention, a reference, a link or HTML; hidden marks let us find our own
texts again.
"""

import re

from controlplane.gitops.git_state import CommitReport, PendingCommit
from controlplane.gitops.hosts.host import LONGEST_CONTEXT, LONGEST_TEXT
from controlplane.view.text import clean

LONGEST = 60_000
"""Characters of a text; the hosts stop at 65,536."""
LONGEST_TITLE = 200
_MARK = re.compile(r"[^A-Za-z0-9./:_-]")
_LINK = re.compile(r"https?://[A-Za-z0-9._~:/?#@!$&*+,;=%\[\]-]+")
"""An address that ends no link of Markdown and begins nothing else."""
_WORDS = {"pending": "under way", "success": "promoted", "failure": "not promoted", "error": "ended without a verdict"}


def proposal(writing: PendingCommit) -> tuple[str, str]:
    """Title and text of the pull request for a commit."""
    title, _, message = writing.message.partition("\n")
    if writing.kind == "promote":
        first = "The canary won. Merging this makes it the stable variant in the file; it has all the traffic already."
    else:
        first = (
            "The canary was found bad, and all traffic is on the stable variant already. Merging this makes the file "
            "say so. Until then the file names a revision that Serinus does not start again."
        )
    closing = "Closing it without merging leaves the file as it is; nothing else is proposed for this rollout."
    text = (
        f"{_hidden(f'{writing.kind} {writing.rollout} {writing.began}')}\n{first}\n\n{fenced(message)}\n\n{closing}\n"
    )
    return clean(title)[:LONGEST_TITLE], text


def comment(report: CommitReport, url: str, pull_request: str = "pull request") -> str:
    """The comment on the pull request that brought a canary. Begins with `comment_mark`.

    `url`: its page on the dashboard; `pull_request`: as the host calls one.
    """
    does = "makes it stable in the file" if report.state == "success" else "puts the file back"
    answer = f"\n[The {pull_request} that {does}]({report.answer})\n" if _LINK.fullmatch(report.answer) else ""
    more = f"\n[More on the dashboard]({url})\n" if url else ""
    said = fenced(f"{report.context}\n\n{report.text}")
    return f"{comment_mark(report)}\n**Serinus**: {_WORDS[report.state]}\n\n{said}\n{answer}{more}"


def comment_mark(report: CommitReport) -> str:
    """What our comment about a rollout begins with: one in each pull request, whoever wrote it."""
    return _hidden(report.context)


def status_text(text: str) -> str:
    """One line that fits, cut between words where there are any."""
    line = " ".join(clean(text).split())
    if len(line) <= LONGEST_TEXT:
        return line
    cut = line[: LONGEST_TEXT - 1]
    return f"{cut.rpartition(' ')[0] or cut}…"


def context_of(about: str) -> str:
    """The name of a status: `serinus/chat`, or a path for a file that cannot be used."""
    return f"serinus/{clean(about)}"[:LONGEST_CONTEXT]


def fenced(text: str) -> str:
    """Text as it is, in a block of code that nothing in it can end."""
    shown = "\n".join(map(_line, text.split("\n")))[:LONGEST].strip("\n")
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}"


def _line(text: str) -> str:
    """A line with its indent and without anything that is not to be seen."""
    return " " * (len(text) - len(text.lstrip(" "))) + clean(text)


def _hidden(text: str) -> str:
    return f"<!-- serinus: {_MARK.sub('_', text).replace('--', '__')} -->"
