"""The words of our commits: a subject, what happened with the numbers of both arms, and trailers for programs.

Called by `controller.py` when a rollout has ended. Pure. Whatever comes from a file or a measurement is made one line
without control characters, so that no name can forge a trailer.
"""

import json
from collections.abc import Mapping
from typing import Any

from canary import format as fmt
from canary.alert_facts import shown
from canary.format import duration
from canary.quarantine import condemned, variant_digest
from canary.rollout import Event, Rollout
from canary.serial import event_line, rfc3339
from canary.spec.models import ModelCanary
from controlplane.gitops.git_state import PlanOrigin
from controlplane.view.text import clean

SUBJECT = 72
WIDTH = 76
VARIANT = "Serinus-Variant"
"""Trailer with the digest of what the evidence condemned."""
EVIDENCE = 1500
"""Characters of a trailer's JSON."""


def promotion(
    plan: ModelCanary, rollout: Rollout, why: Event | None, origin: PlanOrigin | None, *, retry: str = ""
) -> str:
    """The message of the commit that makes the canary the stable variant."""
    new, old = plan.spec.canary.name, plan.spec.stable.name
    took = duration(rollout.history[-1].t) if rollout.history else ""
    subject = f"Promote {new} in {rollout.name}"
    told = f"{new} is what stable means from now on, in place of {old}{f', after {took}' if took else ''}."
    return _message(subject, told, plan, rollout, why, origin, retry)


def rollback(
    plan: ModelCanary, rollout: Rollout, why: Event | None, origin: PlanOrigin | None, *, retry: str = ""
) -> str:
    """The message of the commit that puts the canary back to what is in service."""
    bad, good = plan.spec.canary.name, plan.spec.stable.name
    subject = f"Roll back {rollout.name}: {good} instead of {bad}"
    return _message(subject, why.message if why else rollout.message, plan, rollout, why, origin, retry)


def _message(
    subject: str,
    told: str,
    plan: ModelCanary,
    rollout: Rollout,
    why: Event | None,
    origin: PlanOrigin | None,
    retry: str,
) -> str:
    trailers = {
        "Serinus-Rollout": f"{rollout.name}/{rollout.attempt}",
        "Serinus-Began": rfc3339(rollout.began),
        "Serinus-Revision": rollout.revision,
        "Serinus-Result": str(rollout.result),
        "Serinus-Reason": str(why.reason if why else rollout.reason),
        **({"Serinus-Commit": origin.commit} if origin else {}),
        **({VARIANT: variant_digest(plan.spec)} if condemned(rollout, why) else {}),
        "Serinus-Evidence": _evidence(why),
    }
    what = "What it ran" if condemned(rollout, why) else "This revision"
    body = [*_wrapped(told), "", *_numbers(why), *_times(plan, rollout), *_what_next(rollout, origin, retry, what)]
    lines = [_clean(subject)[:SUBJECT], "", *body, "", *(f"{key}: {_clean(value)}" for key, value in trailers.items())]
    return "\n".join(lines) + "\n"


def _numbers(why: Event | None) -> list[str]:
    """Both arms' values of the gate that spoke."""
    evidence: Mapping[str, Any] = why.evidence if why else {}
    if "gate" not in evidence:
        return []
    lines = [f"  gate    {_clean(evidence['gate'])}"]
    lines += [f"  {what:<7} {value}" for what, value in shown(evidence).items()]
    return [*lines, ""]


def _times(plan: ModelCanary, rollout: Rollout) -> list[str]:
    moments = {
        "began": rollout.began,
        "harm": rollout.harm_began,
        "decided": rollout.decided,
        "zero": rollout.zero,
    }
    lines = [f"  {what:<7} {rfc3339(at)}" for what, at in moments.items() if at is not None]
    if rollout.decided is not None and rollout.zero is not None:
        lines[-1] += f"  (no traffic {duration(max(rollout.zero - rollout.decided, 0.0))} after the decision)"
    if rollout.peak.canary:
        lines.append(f"  peak    {rollout.peak} of the traffic on {_clean(plan.spec.canary.name)}")
    if rollout.served:
        lines.append(f"  served  {', '.join(f'{fmt.count(count)} on {arm}' for arm, count in rollout.served.items())}")
    if rollout.cut:
        lines.append(f"  cut     {fmt.count(rollout.cut)} open requests, by the stop")
    return lines


def _what_next(rollout: Rollout, origin: PlanOrigin | None, retry: str, what: str) -> list[str]:
    lines = []
    if origin is not None:
        whence = f"It came with {origin.commit[:12]} by {origin.author} ({origin.path}:{origin.line})."
        lines += ["", *_wrapped(whence)]
    if rollout.result != "promoted":
        again = f"    {_clean(retry or f'serinus retry {rollout.name}')}"
        lines += ["", f"{what} is not started again by itself. To allow it:", "", again]
    return lines


def _evidence(why: Event | None) -> str:
    line: dict[str, Any] = event_line(why)["evidence"] if why else {}
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= EVIDENCE else json.dumps({"why": why.message[:500] if why else ""}, ensure_ascii=False)


def _wrapped(text: str) -> list[str]:
    """Lines of a commit's width."""
    words, lines = _clean(text).split(), [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > WIDTH:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _clean(text: str) -> str:
    return " ".join(clean(text).split())
