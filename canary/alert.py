"""What makes an alert, and what it says: what somebody has to hear of, in the rollout's own words.

Fed with a rollout's events in order by `controlplane.alerts`, which sends what comes out. The same events give the same
alerts with the same ids, so a repeated one is recognised. Decides nothing about the rollout, knows no channel and no
clock. Texts from outside (names, problems, commits) come out on one line and without anything that steers a terminal;
what a channel's own format needs escaped is escaped there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from canary.alert_facts import Fact, clean, facts_of
from canary.format import duration
from canary.rollout import Event, Phase, Reason
from canary.spec.alerts import AlertKind

Kind = AlertKind | Literal["summary", "test"]
Severity = Literal["critical", "warning", "info"]
State = Literal["firing", "resolved"]

SEVERITIES: Mapping[Kind, Severity] = {
    "rolledBack": "critical",
    "stableNotReady": "critical",
    "failed": "warning",
    "blind": "warning",
    "paused": "warning",
    "awaitingApproval": "info",
    "aborted": "info",
    "promoted": "info",
    "modelDiffers": "info",
    "test": "info",
}
"""Critical is for what harmed users or still may; a warning needs a person; info is good to know."""
TITLES: Mapping[Kind, str] = {
    "rolledBack": "{} was rolled back",
    "stableNotReady": "{} cannot roll back: stable cannot serve",
    "failed": "{} failed before it had traffic",
    "blind": "{} is blind: its metrics are silent",
    "paused": "{} is paused and needs a decision",
    "awaitingApproval": "{} waits for an approval",
    "aborted": "{} was aborted",
    "promoted": "{} was promoted",
    "modelDiffers": "{}: the canary differs in what its plan does not say",
    "summary": "{}: several alerts in one",
    "test": "{}: a test of its alerts",
}
NEXT: Mapping[Kind, tuple[str, ...]] = {
    "rolledBack": ("history", "status"),
    "stableNotReady": ("status",),
    "failed": ("history",),
    "blind": ("status", "abort"),
    "paused": ("status", "resume", "abort"),
    "awaitingApproval": ("status", "approve", "abort"),
    "aborted": ("history",),
    "promoted": ("history",),
    "modelDiffers": ("history", "abort"),
    "summary": ("history",),
    "test": (),
}
"""The commands that help next, most useful first."""
CAUSES: Mapping[Reason, Kind] = {
    Reason.GATE_FAILED: "rolledBack",
    Reason.CANARY_LOST: "rolledBack",
    Reason.ROUTE_LOWERED: "rolledBack",
    Reason.BLIND_TOO_LONG: "rolledBack",
    Reason.EVALUATION_FAILED: "failed",
    Reason.SHADOW_LOST: "failed",
    Reason.CANARY_NOT_READY: "failed",
    Reason.ROUTE_NOT_READY: "failed",
    Reason.FINGERPRINT_BLOCKED: "failed",
    Reason.FINGERPRINT_FOUND_LATE: "rolledBack",
    Reason.STABLE_NOT_READY: "failed",
    Reason.ABORTED: "aborted",
}
"""What a rollback is called, by its reason. A plan that a newer one replaced is nobody's alert."""
TOLD: Mapping[Reason, Kind] = {
    Reason.STABLE_NOT_READY: "stableNotReady",
    Reason.FINGERPRINT_DIFFERS: "modelDiffers",
    Reason.EVALUATION_UNDECIDED: "paused",
}
"""What is told without a change of phase, by its reason."""
RESULTS: Mapping[str, Kind] = {
    "rolled_back": "rolledBack",
    "failed": "failed",
    "aborted": "aborted",
    "promoted": "promoted",
}
MOST_LINES = 20
"""Alerts that a summary names."""


@dataclass(frozen=True, slots=True)
class Commands:
    """How the commands begin and end where this rollout runs: `serinus … --state DIR`, `kubectl canary …`."""

    program: str = "serinus"
    options: str = ""

    def line(self, verb: str, rollout: str) -> str:
        """`serinus history support-llm`."""
        return f"{self.program} {verb} {rollout}{self.options}"


@dataclass(frozen=True, slots=True)
class AlertNotice:
    """One fact, or its end. Times are seconds since the epoch."""

    id: str
    """`<id of the event>/<kind>`: stable and unique, so a message that comes twice is recognised."""
    key: str
    """`<rollout>/<attempt>/<kind>`: the same for everything that is said of one fact, its end included."""
    number: int
    """Number of the event; of two alerts with one key the higher one is newer."""
    kind: Kind
    severity: Severity
    state: State
    rollout: str
    attempt: int
    revision: str
    began: float
    """Since when it is so."""
    at: float
    """When this was said: for an end, when it was over."""
    sentence: str
    facts: tuple[Fact, ...] = ()
    commands: tuple[str, ...] = ()
    commit: str = ""
    link: str = ""
    standing: bool = False
    """Whether it lasts until an end is told."""
    complete: bool = True
    """False when a fuller one with the same key follows in moments, which may be sent in its place."""

    @property
    def title(self) -> str:
        """The fact in a few words."""
        title = TITLES[self.kind].format(self.rollout)
        return title if self.state == "firing" else f"Over: {title}"


@dataclass(frozen=True, slots=True)
class AlertState:
    """What the events of one attempt have said so far, as far as alerts need it."""

    attempt: str = ""
    """`<rollout>/<attempt>`."""
    number: int = 0
    """Number of the newest event that was heard."""
    peak: float = 0.0
    commit: str = ""
    cause: Event | None = None
    """The decision to take the traffic back."""
    standing: Mapping[Kind, AlertNotice] = field(default_factory=dict)


def hear(
    story: AlertState, event: Event, commands: Commands | None = None
) -> tuple[AlertState, tuple[AlertNotice, ...]]:
    """Take in the next event; answers the alerts that it makes. An event that was heard before makes none."""
    attempt = f"{event.rollout}/{event.attempt}"
    if attempt != story.attempt:
        story = AlertState(attempt=attempt)
    if event.seq <= story.number:
        return story, ()
    story = replace(
        story,
        number=event.seq,
        peak=max(story.peak, event.weight),
        commit=clean(str(event.evidence.get("commit", ""))) or story.commit,
    )
    ended = _ended(story, event)
    standing = {kind: alert for kind, alert in story.standing.items() if kind not in {each.kind for each in ended}}
    story = replace(story, standing=standing)
    if event.event == "phase" and event.phase is Phase.ROLLING_BACK:
        story = replace(story, cause=event)
    begun = _begun(story, event, commands or Commands())
    if begun is not None and begun.standing:
        if begun.kind in standing:
            begun = None  # it is the same fact with other words
        else:
            story = replace(story, standing={**standing, begun.kind: begun})
    return story, (*ended, *([begun] if begun else ()))


def trial(rollout: str, at: float) -> AlertNotice:
    """An alert that only tests a channel."""
    sentence = "This is a test: nothing happened, and nothing has to be done."
    # The time makes it new to whoever remembers the one before.
    key = f"{clean(rollout)}/0/test"
    return AlertNotice(
        f"{key}/{at:.3f}", key, 0, "test", "info", "firing", clean(rollout), 0, "", at, at, sentence, standing=True
    )


def over(alert: AlertNotice, at: float, sentence: str) -> AlertNotice:
    """The end of a fact, for the same key."""
    lasted = Fact("Lasted", duration(max(at - alert.began, 0.0)))
    return replace(alert, state="resolved", at=at, sentence=clean(sentence), facts=(lasted,), commands=())


def summary(alerts: Sequence[AlertNotice]) -> AlertNotice:
    """One message for many (at least one, oldest first), for a channel that would get too many at once."""
    newest = alerts[-1]
    others = {alert.rollout for alert in alerts} - {newest.rollout}
    of = f"{newest.rollout} and {len(others)} more" if others else newest.rollout
    lines = [Fact(alert.severity if alert.state == "firing" else "over", alert.title) for alert in alerts[:MOST_LINES]]
    if left := len(alerts) - len(lines):
        lines.append(Fact("and", f"{left} more"))
    key = f"{newest.rollout}/{newest.attempt}/summary"
    return replace(
        newest,
        id=f"{newest.id}/summary",
        key=key,
        kind="summary",
        severity="critical" if any(alert.severity == "critical" for alert in alerts) else "warning",
        state="firing",
        rollout=of,
        sentence=f"{len(alerts)} alerts came faster than one channel should carry; here they are in one message.",
        facts=tuple(lines),
        standing=False,
        complete=True,
    )


def text(alert: AlertNotice) -> str:
    """The whole alert as plain text, for channels and people that read no other."""
    lines = [f"[{alert.severity if alert.state == 'firing' else 'over'}] {alert.title}", alert.sentence]
    lines += [f"{fact.label}: {fact.value}" for fact in alert.facts]
    lines += [f"Next: {command}" for command in alert.commands]
    return "\n".join(lines + ([alert.link] if alert.link else []))


def _ended(story: AlertState, event: Event) -> tuple[AlertNotice, ...]:
    """The ends of what stood until now."""
    if event.event not in {"phase", "weights", "end"}:
        return ()
    return tuple(
        replace(over(alert, event.at, event.message), id=f"{event.id}/{kind}", number=story.number)
        for kind, alert in story.standing.items()
        if not _still(kind, event)
    )


def _still(kind: Kind, event: Event) -> bool:
    """Whether a fact that stood before this event stands after it."""
    match kind:
        case "blind":
            too_long = event.phase is Phase.PAUSED and event.reason is Reason.BLIND_TOO_LONG
            return event.phase is Phase.BLIND or too_long
        case "paused":
            return event.phase is Phase.PAUSED
        case "awaitingApproval":
            return event.phase is Phase.AWAITING_APPROVAL
        case _:
            return event.phase is Phase.ROLLING_BACK and event.weight > 0


def _begun(story: AlertState, event: Event, commands: Commands) -> AlertNotice | None:
    """The fact that this event begins or completes."""
    kind = _kind(event)
    if kind is None:
        return None
    cause = story.cause if event.event == "end" and kind != "promoted" else None
    rollout = clean(event.rollout)
    return AlertNotice(
        id=f"{event.id}/{kind}",
        key=f"{story.attempt}/{kind}",
        number=story.number,
        kind=kind,
        severity=SEVERITIES[kind],
        state="firing",
        rollout=rollout,
        attempt=int(story.attempt.rpartition("/")[2]),
        revision=clean(event.revision),
        began=cause.at if cause else event.at,
        at=event.at,
        sentence=clean(cause.message if cause else event.message),
        facts=facts_of(event, cause, peak=story.peak, commit=story.commit),
        commands=tuple(commands.line(verb, rollout) for verb in NEXT[kind]),
        commit=story.commit,
        standing=kind in {"stableNotReady", "blind", "paused", "awaitingApproval"},
        complete=event.phase is not Phase.ROLLING_BACK or kind == "stableNotReady",
    )


def _kind(event: Event) -> Kind | None:
    """What the event is, if it is anybody's alert."""
    match event.event:
        case "alert":
            return TOLD.get(event.reason)
        case "end":
            return RESULTS.get(str(event.evidence.get("result")))
        case "phase":
            pass
        case _:
            return None
    match event.phase:
        case Phase.ROLLING_BACK:
            return CAUSES.get(event.reason)
        case Phase.BLIND:
            return "blind"
        case Phase.PAUSED if event.reason is not Reason.PAUSED_BY_OPERATOR:
            return "paused"
        case Phase.AWAITING_APPROVAL:
            return "awaitingApproval"
        case _:
            return None
