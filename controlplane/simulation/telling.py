"""A simulated story as text for a person, and as event lines for other programs.

Called by `serinus simulate`. The text keeps what changes the course of things: phases, failed gates, people, alerts,
and the first time each gate of a stage passes; the event lines keep everything (`docs/contracts.md`, section 1).
"""

import textwrap
from collections.abc import Iterator
from typing import Any

from canary.format import duration, share
from canary.rollout import Event, Phase, Reason
from canary.serial import event_line, rfc3339
from canary.spec.models import CanarySpec
from canary.weights import ARMS, Weights
from controlplane.simulation.clock import EPOCH
from controlplane.simulation.scenarios import TABLE, Scenario
from controlplane.simulation.story import Story
from controlplane.view.marks import Marks, of_event
from controlplane.view.text import clean

DAY = 86400.0
RESULTS = {
    "promoted": "promoted",
    "rolled_back": "rolled back",
    "failed": "failed before it had any traffic",
    "aborted": "aborted",
    "superseded": "replaced by a newer plan",
}


def heading(spec: CanarySpec, name: str, scenario: Scenario, conditions: str) -> Iterator[str]:
    """What is about to be played."""
    stages = " → ".join(f"{Weights.of_share(stage.traffic)} for {duration(stage.hold)}" for stage in spec.stages)
    yield f"{clean(name)}: {stages}"
    yield f"Scenario {scenario.name}: {scenario.happens}"
    yield conditions


def told(story: Story, marks: Marks, width: int) -> Iterator[str]:
    """The story, a line or a few for each thing that matters, sentences folded to `width` columns."""
    passed: set[tuple[int, str]] = set()
    hidden, last = 0, ""
    for event in story.events:
        if not _matters(event, passed):
            hidden += event.event == "verdict"
            continue
        if event.message == last:
            continue  # a gate's sentence is the rollback's too
        last = event.message
        weight, (mark, _) = Weights.of_share(event.weight), of_event(marks, event)
        head = f"{_when(event.t, story.seconds):>12}  {weight!s:>5}  {mark} "
        yield from textwrap.wrap(
            clean(event.message),
            width=max(width, 60),
            initial_indent=head,
            subsequent_indent=" " * len(head),
            break_on_hyphens=False,
        )
    if hidden:
        yield ""
        yield f"{hidden} other changes of a gate's mind are left out; -o json has them all."


def ending(story: Story, scenario: Scenario) -> Iterator[str]:
    """The end in a few lines."""
    rollout, length = story.rollout, duration(story.seconds)
    if story.result != "timed_out":
        yield f"Result    {RESULTS[story.result]} after {length}"
    elif rollout is None:
        yield f"Result    undecided after {length}: not begun, for its state was never saved"
    else:
        yield f"Result    undecided after {length}: still {rollout.phase} at {rollout.weights} (--for sets how long)"
    yield f"Expected  {scenario.promise}"
    if rollout and rollout.decided is not None and rollout.zero is not None and rollout.peak.canary:
        began = rollout.harm_began
        parts = (
            [f"harm began at {_when(began - rollout.began, story.seconds)} (estimated)"] if began is not None else []
        )
        parts.append(f"decided at {_when(rollout.decided - rollout.began, story.seconds)}")
        parts.append(f"canary without traffic {duration(rollout.zero - rollout.decided)} later")
        yield f"Rollback  {', '.join(parts)}"
    total = sum(story.requests.values())
    part = f" ({share(story.requests['canary'] / total)} of all)" if total else ""
    yield (
        f"Requests  {story.requests['stable']:,} to stable, {story.requests['canary']:,} to the canary{part}; "
        f"{story.misrouted:,} failed by a change of weights"
    )
    if story.deaths:
        yield f"Killed    the controller, {story.deaths} times"


def event_lines(story: Story, name: str) -> Iterator[dict[str, Any]]:
    """Every event as other tools read it; the last one is the end, with the requests that were really sent."""
    requests: dict[str, Any] = {arm: story.requests[arm] for arm in ARMS} | {"failed_by_shift": story.misrouted}
    for event in story.events:
        line = event_line(event)
        yield line | {"requests": requests} if event.event == "end" else line
    if story.result == "timed_out":
        yield _given_up(story, name) | {"requests": requests}


def scenario_lines(width: int) -> Iterator[str]:
    """The table of scenarios."""
    column = max(len(scenario.name) for scenario in TABLE) + 2
    for scenario in TABLE:
        yield from textwrap.wrap(
            f"{scenario.happens} {scenario.promise}",
            width=max(width, 60),
            initial_indent=f"{scenario.name:<{column}}",
            subsequent_indent=" " * column,
        )


def _matters(event: Event, passed: set[tuple[int, str]]) -> bool:
    """Whether the event changes the course of things. `passed` collects the gates that were told to pass."""
    if event.event == "verdict":
        key = event.stage, str(event.evidence.get("gate"))
        news = event.evidence.get("verdict") == "fail" or (
            event.evidence.get("verdict") == "pass" and key not in passed
        )
        if news:
            passed.add(key)
        return news
    return event.event in {"phase", "alert", "operator", "git"} and event.reason is not Reason.ACCEPTED


def _when(t: float, length: float) -> str:
    """Time since the rollout began, as a clock shows it; with days where the story has some."""
    days, rest = divmod(round(t), int(DAY))
    clock = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}d {clock:>8}" if length >= DAY else clock


def _given_up(story: Story, name: str) -> dict[str, Any]:
    """The last line of a story without an end."""
    rollout = story.rollout
    number = (rollout.events if rollout else 0) + 1
    return {
        "id": f"{name}/{rollout.attempt if rollout else 1}/{number}",
        "at": rfc3339(EPOCH + story.seconds),
        "t": story.seconds,
        "rollout": name,
        "revision": rollout.revision if rollout else "",
        "event": "end",
        "phase": rollout.phase if rollout else Phase.PENDING,
        "stage": rollout.stage if rollout else 0,
        "weight": rollout.weights.share if rollout else 0.0,
        "reason": rollout.reason if rollout else "Accepted",
        "message": f"Nothing was decided in {duration(story.seconds)}; the simulation was ended.",
        "evidence": {},
        "seq": number,
        "result": "timed_out",
    }
