"""The numbers of an alert, and texts from outside made harmless: both arms, times, requests, in the units of the gate.

Used by `canary/alert.py`. Evidence is taken as it was stored: what is missing or no number is left out.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeGuard

from canary import format as fmt
from canary.rollout import Event
from canary.spec.gates import unit_of_values

LONGEST_TEXT = 1000
"""Characters of one text; what comes from outside may be as long as it likes."""
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?")


class Fact(NamedTuple):
    """One line of an alert's numbers: `Canary`, `15.6 % (3,200 samples)`."""

    label: str
    value: str


def clean(value: str, longest: int = LONGEST_TEXT) -> str:
    """One line without escape sequences, control characters or changes of writing direction; cut where it is long."""
    shown = "".join(c if c.isprintable() else " " for c in _ESCAPES.sub("", value[: 4 * longest]))
    line = " ".join(shown.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def facts_of(event: Event, cause: Event | None, *, peak: float, commit: str) -> tuple[Fact, ...]:
    """The numbers: both arms, how long, how many requests, which change.

    `cause`: the decision that this event completes; `peak`: the largest share so far (a fraction).
    """
    result = event.evidence if event.event == "end" else {}
    facts = [
        *_arms((cause or event).evidence),
        *([Fact("Traffic", clean(event.message))] if cause else ()),
        *_times((cause or event).evidence.get("harm_began"), cause or event, result),
        Fact("Largest share", f"{fmt.share(peak)} of the traffic") if peak else None,
        *_requests(result.get("requests")),
        Fact("Took", fmt.duration(event.t)) if result else None,
        Fact("Commit", commit) if commit else None,
        Fact("Plan", clean(event.revision)[:12]) if event.revision else None,
    ]
    return tuple(fact for fact in facts if fact)


def _arms(evidence: Mapping[str, Any]) -> list[Fact]:
    """The gate, what both arms show, and the limit; nothing where no gate spoke."""
    if not isinstance(gate := evidence.get("gate"), str):
        return []
    return [Fact("Gate", clean(gate)), *(Fact(what.capitalize(), value) for what, value in shown(evidence).items())]


def shown(evidence: Mapping[str, Any]) -> dict[str, str]:
    """What a gate's evidence shows of `canary` and `stable`, with its samples, and its `limit`, as far as it is there.

    Alerts and commits both say this, so that they say the same.
    """
    unit = unit_of_values(str(evidence.get("gate", "")))
    samples, edges = _mapping(evidence.get("samples")), _mapping(evidence.get("edges"))
    found = {}
    for what in ("canary", "stable", "limit"):
        if _known(value := evidence.get(what)):
            edge = f"{edges[what]} " if edges.get(what) in {"under", "over"} else ""
            behind = f" ({fmt.count(samples[what])} samples)" if _known(samples.get(what)) else ""
            found[what] = f"{edge}{fmt.measure(value, unit)}{behind}"
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _times(harm_began: Any, decision: Event, result: Mapping[str, Any]) -> list[Fact]:
    """From the harm to the verdict to no traffic."""
    facts = []
    if _known(harm_began) and harm_began <= decision.at:
        facts.append(Fact("Harm to verdict", f"{fmt.duration(decision.at - harm_began)} (estimated)"))
    if _known(took := result.get("decided_to_zero")):
        facts.append(Fact("Verdict to no traffic", fmt.duration(took)))
    return facts


def _requests(counts: Any) -> list[Fact]:
    """How many requests the canary answered, and whether any was lost."""
    if not isinstance(counts, Mapping):
        return []
    answered = [f"{fmt.count(counts[arm])} by {arm}" for arm in ("canary", "stable") if _known(counts.get(arm))]
    facts = [Fact("Requests answered", ", ".join(answered))] if answered else []
    if _known(lost := counts.get("failed_by_shift")):
        facts.append(Fact("Lost by shifts", fmt.count(lost)))
    if _known(cut := counts.get("cut_by_stop")) and cut > 0:
        facts.append(Fact("Cut off by the stop", fmt.count(cut)))
    return facts


def _known(value: Any) -> TypeGuard[float]:
    """Whether it is a number: evidence comes from a store, and JSON has other things to say."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
