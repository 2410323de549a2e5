"""What one pod says of itself: ready since when, or one clause about why not, and whether waiting can help.

Used by `readiness.py`, which speaks for the whole variant. KServe says `MinimumReplicasUnavailable` for all of this,
for minutes; the pod says it within seconds. Pure.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from canary.format import duration
from controlplane.kubernetes.api import Object

PORT = 8080
"""Where KServe's servers answer unless their container says otherwise."""
CRASHES = 3
"""Ends of the server, one after the other, after which another try is not expected to go better."""
PATIENCE = 60.0
"""Seconds for what somebody else may still put right: room on the nodes, an image, a Secret, a quota."""
NEVER = frozenset({"InvalidImageName", "ErrImageNeverPull"})
"""Reasons that no waiting changes."""
PULLING = frozenset({"ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable", *NEVER})
CONFIGURATION = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
LONGEST_MESSAGE = 200
MOMENT = 2.0
"""Seconds that a new server has to stay ready before it is relied on; stamps are whole seconds, so it is 1 to 2 s."""
AGAIN = 10.0
"""The same for one that has ended before: a crash loop is ready for a moment between two crashes."""


@dataclass(frozen=True, slots=True)
class PodProblem:
    """Why something is not ready."""

    clause: str
    hopeless: bool = False
    weight: int = 0
    """What is worse is said first."""


def seconds(stamp: str | None) -> float | None:
    """A time as Kubernetes writes it, in seconds since the epoch."""
    return None if not stamp else datetime.fromisoformat(stamp).timestamp()


def condition(object_: Object, kind: str) -> dict[str, Any]:
    """The condition of this type, or an empty one."""
    found = (object_.get("status") or {}).get("conditions") or ()
    return next((each for each in found if each.get("type") == kind), {})


def leaving(pod: Object) -> bool:
    """Whether it is on its way out: being deleted, or ended for good."""
    return "deletionTimestamp" in pod["metadata"] or (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}


def ready_since(pod: Object) -> float | None:
    """Since when it answers (seconds since the epoch); None while it does not."""
    if leaving(pod):
        return None
    ready = condition(pod, "Ready")
    return seconds(ready.get("lastTransitionTime")) or 0.0 if ready.get("status") == "True" else None


def unsettled_reason(pod: Object, now: float) -> str:
    """Why a ready pod is not relied on yet, as a clause; empty once it has stayed ready."""
    since = ready_since(pod)
    if since is None:
        return ""
    made = seconds(pod["metadata"].get("creationTimestamp")) or now
    stayed = abs(now - since)  # a node whose clock is hours ahead must not be waited for that long
    for each in (pod.get("status") or {}).get("containerStatuses") or ():
        if each.get("restartCount") and stayed < AGAIN:
            said = _of_container(each, pod, made, now)
            return said.clause if said else "its server ended and was started again"
    return "only just ready" if stayed < MOMENT else ""


def address_of(pod: Object) -> str:
    """`ip:port` of its server; empty while it has no address, and when it is leaving."""
    address = (pod.get("status") or {}).get("podIP")
    if not address or leaving(pod):
        return ""
    for container in (pod.get("spec") or {}).get("containers") or ():
        if container.get("ports"):
            return f"{address}:{container['ports'][0]['containerPort']}"
    return f"{address}:{PORT}"


def problem_of(pod: Object, now: float, gpus: str = "") -> PodProblem:
    """Why this pod is not ready. `gpus` says what the nodes have left, where that is known."""
    made = seconds(pod["metadata"].get("creationTimestamp")) or now
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return _without_room(scheduled, made, now, gpus)
    status = pod.get("status") or {}
    for each in status.get("initContainerStatuses") or ():
        if (said := _of_container(each, pod, made, now, "cannot fetch the weights: ")) and not _done(each):
            return said
    for each in status.get("initContainerStatuses") or ():
        if not _done(each) and not each.get("ready"):
            return PodProblem(f"fetching the weights for {duration(now - made)}")
    for each in status.get("containerStatuses") or ():
        if not each.get("ready") and (said := _of_container(each, pod, made, now)):
            return said
    return _loading(status.get("containerStatuses") or (), made, now)


def _without_room(scheduled: dict[str, Any], made: float, now: float, gpus: str) -> PodProblem:
    waited = now - (seconds(scheduled.get("lastTransitionTime")) or made)
    message = _short(re.sub(r"[.,]? (no new claims|preemption:).*$", "", scheduled.get("message", "")))
    lacking = re.search(r"Insufficient (\S+?/gpu)\b", message)
    what = f"no GPU left{gpus}" if lacking else "no node has room for it"
    return PodProblem(f"{what}: {message or 'it is not scheduled'}", waited >= PATIENCE, 3)


def _of_container(status: dict[str, Any], pod: Object, made: float, now: float, doing: str = "") -> PodProblem | None:
    """What is wrong with one container; None where it only takes its time."""
    waiting, ended = (status.get("state") or {}).get("waiting") or {}, _last_end(status)
    reason, message = waiting.get("reason", ""), _short(waiting.get("message", ""))
    if reason in PULLING:
        waited = now - (seconds(condition(pod, "PodScheduled").get("lastTransitionTime")) or made)
        clause = f"the image {status.get('image', '')} cannot be pulled ({reason}{f': {message}' if message else ''})"
        return PodProblem(clause, reason in NEVER or waited >= PATIENCE, 4)
    if reason in CONFIGURATION:
        return PodProblem(f"its container cannot be made: {message or reason}", now - made >= PATIENCE, 4)
    if not ended or (doing and ended.get("exitCode") == 0):
        return None
    running = "running" in (status.get("state") or {})
    times = status.get("restartCount", 0) + (not running)
    again = times >= CRASHES and reason == "CrashLoopBackOff"
    return PodProblem(
        doing + _crash(ended, times, pod, status.get("name", ""), running), again, 5 if not running else 2
    )


def _crash(ended: dict[str, Any], times: int, pod: Object, container: str, running: bool) -> str:
    count = "" if times == 1 else f" {times} times"
    if ended.get("reason") == "OOMKilled":
        limit = _memory_limit(pod, container)
        clause = f"killed for memory{count} (OOMKilled{f', its limit is {limit}' if limit else ''})"
    else:
        message = _short(ended.get("message", ""))
        clause = f"crashed{count} (exit code {ended.get('exitCode', 'unknown')}{f': {message}' if message else ''})"
    return f"{clause}, started again" if running else clause


def _loading(containers: Any, made: float, now: float) -> PodProblem:
    """Nothing is wrong yet."""
    begun = [seconds((each.get("state") or {}).get("running", {}).get("startedAt")) for each in containers]
    if begun and all(each is not None for each in begun):
        return PodProblem(f"loading for {duration(now - max(each for each in begun if each is not None))}")
    return PodProblem(f"its container is being made for {duration(now - made)}")


def _last_end(status: dict[str, Any]) -> dict[str, Any]:
    for place in ("state", "lastState"):
        if ended := (status.get(place) or {}).get("terminated"):
            return dict(ended)
    return {}


def _done(status: dict[str, Any]) -> bool:
    return ((status.get("state") or {}).get("terminated") or {}).get("exitCode") == 0


def _memory_limit(pod: Object, container: str) -> str:
    for each in (pod.get("spec") or {}).get("containers") or ():
        if each.get("name") == container:
            return str(((each.get("resources") or {}).get("limits") or {}).get("memory", ""))
    return ""


def _short(message: str) -> str:
    """The last line of a message, which is where a server says why it died, bounded."""
    lines = [line.strip() for line in message.strip().splitlines() if line.strip()]
    text = lines[-1] if lines else ""
    return text if len(text) <= LONGEST_MESSAGE else f"{text[: LONGEST_MESSAGE - 1]}…"
