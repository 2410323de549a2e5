"""Panels: plain tables that the page draws without knowing what they are about. Titles, words and tones are made here.

Built from facts and the state of a rollout; used by `state.py` for what changes while one looks. Texts from outside are
cleaned here, and links are only ever http or https. Reads nothing and decides nothing.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from pydantic import BaseModel, ConfigDict, Field

from canary.format import duration
from canary.requests import wish
from canary.rollout import Event, Rollout
from canary.serial import rfc3339
from canary.snapshot import OperatorRequest
from controlplane.view.facts import ChannelReport, Commit, Condition, GitOrigin, Replica, RolloutFacts, safe_link
from controlplane.view.text import clean

SHORT = 7
"""Letters of a commit's id that people read."""


COMMANDS = {"process": "serinus", "pod": "kubectl canary"}
"""By what a replica is called: the command that people use there,"""
TAUGHT = {
    "process": ("From a repository, each changed canary.yml becomes a rollout:", "serinus controller --git URL"),
    "pod": ("A GitSource makes each changed file a ModelCanary:", "kubectl explain gitsource.spec"),
}
"""and how git comes in."""


class Cell(BaseModel):
    """One cell: text, and how it is meant."""

    model_config = ConfigDict(frozen=True)

    text: str
    tone: str = Field(default="", description="good, bad, open, busy or quiet; a symbol stands beside it.")
    symbol: str = ""
    link: str = Field(default="", description="Where it leads: http or https, or a path of this server; else empty.")
    at: str = Field(default="", description="A moment, as RFC 3339; shown in the reader's own time zone, with its age.")


class Panel(BaseModel):
    """A titled table."""

    id: str
    title: str
    columns: list[str]
    rows: list[list[Cell]]
    note: str = ""
    empty: str = Field(default="", description="What is said where there are no rows,")
    command: str = Field(default="", description="and the command that helps then.")


@lru_cache(maxsize=4096)
def cell(text: str, tone: str = "", symbol: str = "", *, link: str = "") -> Cell:
    """A cell with a text from anywhere; a link that no browser should open is left out."""
    return Cell(text=clean(text), tone=tone, symbol=symbol, link=safe_link(link))


def moment(at: float | None) -> Cell:
    """A cell with a moment (seconds since the epoch)."""
    return Cell(text="–") if at is None else Cell(text=rfc3339(at), at=rfc3339(at))


def live_panels(rollout: Rollout, facts: RolloutFacts, now: float) -> list[Panel]:
    """What is around a rollout at `now` (seconds since the epoch). Parts that nobody can tell are left out."""
    panels = []
    if facts.replicas is not None:
        panels.append(_replicas(rollout, facts.replicas, facts, now))
    if facts.conditions is not None:
        panels.append(_conditions(facts.conditions))
    panels.append(_git(rollout.name, facts.origin, facts.runs))
    if facts.channels is not None:
        panels.append(_alerts(facts.channels))
    return panels


def audit_panel(command: str, events: Sequence[Event], waiting: Sequence[OperatorRequest]) -> Panel:
    """Who asked for what, newest first, and what became of it. `command` asks for something; empty where none can."""
    open_ = [
        [moment(each.at), cell("waits for an answer", "open", "◌"), cell(f"{each.by}: {wish(each)}")]
        for each in waiting
    ]
    asked = [event for event in events if event.event == "operator"]
    return Panel(
        id="audit",
        title="Requests of people",
        columns=["When", "State", "What"],
        rows=[*open_, *([moment(e.at), cell("answered", "good", "✔"), cell(e.message)] for e in reversed(asked))],
        empty="Nobody has asked this rollout for anything."
        + (" The buttons above do, and so does the command line:" if command else ""),
        command=command,
    )


def _replicas(rollout: Rollout, replicas: Sequence[Replica], facts: RolloutFacts, now: float) -> Panel:
    runs, pods = facts.runs, facts.runs == "pod"
    where = ["Node", "Image"] if pods else ["Where"]
    return Panel(
        id="replicas",
        title="Pods" if pods else "Processes",
        columns=[runs.capitalize(), "Arm", "Ready", "Restarts", "Age", *where, "Trouble"],
        rows=[_replica(each, now, pods=pods) for each in replicas],
        note=facts.unseen if replicas else "",
        empty=facts.unseen or f"No {runs} runs for this rollout{' any more' if rollout.finished else ' yet'}.",
    )


def _replica(replica: Replica, now: float, *, pods: bool) -> list[Cell]:
    ready = cell("ready", "good", "✔") if replica.ready else cell("not ready", "open", "◌")
    restarts = cell(str(replica.restarts), *(("bad", "✖") if replica.restarts >= 3 else ()))
    age = "–" if replica.since is None else duration(max(now - replica.since, 0.0))
    trouble = cell(replica.trouble, "open", "◌") if replica.trouble else cell("–")
    where = [cell(replica.place or "–"), cell(replica.serves or "–")] if pods else [cell(replica.place)]
    return [cell(replica.name), cell(replica.arm), ready, restarts, cell(age), *where, trouble]


@lru_cache(maxsize=1024)
def _conditions(conditions: tuple[Condition, ...]) -> Panel:
    """Drawn once: conditions seldom change, and pages are told every second. So it is with git."""
    return Panel(
        id="conditions",
        title="Route and platform",
        columns=["Object", "Condition", "Status", "Since", "What it says"],
        rows=[
            [
                cell(each.of),
                cell(each.type),
                _status(each),
                moment(each.since),
                cell(": ".join(filter(None, (each.reason, each.message))) or "–"),
            ]
            for each in conditions
        ],
        empty="The platform has said nothing of the route yet.",
    )


def _status(condition: Condition) -> Cell:
    """Unknown is neither good nor bad: it is on its way."""
    if condition.status == "Unknown":
        return cell(condition.status, "quiet", "◌")
    return cell(condition.status, "good", "✔") if condition.good else cell(condition.status, "bad", "✖")


@lru_cache(maxsize=1024)
def _git(rollout: str, origin: GitOrigin | None, runs: str) -> Panel:
    wanted, command = TAUGHT[runs]
    return Panel(
        id="git",
        title="Git",
        columns=[],
        rows=[] if origin is None else list(_git_rows(rollout, origin, runs)),
        note="" if origin is None or origin.ours else "Git has another plan for this rollout by now.",
        empty=f"Git does not know of this rollout. {wanted}",
        command=command,
    )


def _git_rows(rollout: str, origin: GitOrigin, runs: str) -> Iterable[list[Cell]]:
    yield [cell("Commit"), _commit(origin.commit)]
    if origin.author:
        yield [cell("Author"), cell(origin.author)]
    yield [cell("File"), cell(f"{origin.path}:{origin.line}", link=origin.file_link)]
    if origin.repository:
        yield [cell("Repository"), cell(origin.repository, link=origin.repository)]
    if origin.pull_request is not None:
        yield [cell("Pull request"), _commit(origin.pull_request, short=False)]
    if origin.proposed is not None:
        yield [cell("Proposed"), _commit(origin.proposed, short=False)]
    if origin.written is not None:
        yield [cell("Written back"), _commit(origin.written)]
    if origin.waits:
        yield [cell("Waits"), cell(origin.waits, "open", "◌")]
    if origin.rejected:
        yield [cell("Rejected"), cell(origin.rejected, "bad", "✖")]
        yield [cell("Try it again"), cell(f"{COMMANDS[runs]} retry {rollout}")]


def _commit(commit: Commit, *, short: bool = True) -> Cell:
    id_ = commit.id[:SHORT] if short else commit.id
    return cell(" ".join(filter(None, (id_, commit.text))), link=commit.link)


def _alerts(channels: Sequence[ChannelReport]) -> Panel:
    return Panel(
        id="alerts",
        title="Alerts",
        columns=["Channel", "State", "Delivered", "Last", "About"],
        rows=[
            [
                cell(each.channel),
                _state_of(each),
                cell(str(each.delivered)),
                moment(each.last),
                cell(each.about or "–"),
            ]
            for each in channels
        ],
        empty="Nobody is told of this rollout. Name a channel under alerts in the plan, and try it:",
        command="serinus alerts test canary.yml",
    )


def _state_of(told: ChannelReport) -> Cell:
    if told.trouble:
        return cell(f"failed: {told.trouble}", "bad", "✖")
    return cell("delivered", "good", "✔") if told.delivered else cell("nothing to tell yet", "quiet", "○")
