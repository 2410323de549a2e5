"""What is not started again by itself: a variant that the evidence condemned, whatever plan asks for it.

Asked by the git controller before it starts a plan, and by the operator before it begins an edited spec. A plan's
revision changes with every edit of a gate; what runs does not. So a rollback by evidence condemns the variant, by a
digest of everything that decides what its servers answer and how fast. Any other end (aborted, never ready, metrics
silent) says nothing about the variant and condemns only the plan that ended so. Remembers nothing itself.
"""

import hashlib
import json
from collections.abc import Iterable

from canary.rollout import Event, Phase, Reason, Rollout
from canary.spec.models import CanarySpec
from canary.weights import Arm

BY_EVIDENCE = frozenset({Reason.GATE_FAILED, Reason.EVALUATION_FAILED, Reason.SHADOW_LOST})
"""Reasons for a rollback that are a verdict on what the canary served."""
NOT_WHAT_RUNS = frozenset(
    {"name", "labels", "ready", "metrics", "pass_env", "tolerations", "service_account"}
)  # fmt: skip
"""Fields of a variant that change how it is found and watched, not what it answers."""


def variant_digest(spec: CanarySpec, arm: Arm = "canary") -> str:
    """Digest of what an arm runs: weights, prompt, image, command, flags, resources, replicas. 16 hexadecimal digits.

    Defaults do not count, so a field that is added later changes nothing. A prompt in a file counts by the file's name,
    weights by their address: what stands behind either is not read here.
    """
    variant = spec.canary if arm == "canary" else spec.stable
    runs = variant.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=set(NOT_WHAT_RUNS))
    runs["uri"] = variant.uri or spec.model.uri
    return hashlib.sha256(json.dumps(runs, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def cause(rollout: Rollout, history: Iterable[Event]) -> Event | None:
    """The entry of the history that says why the rollout ended: its way into RollingBack, or its promotion."""
    phases = [event for event in history if event.event == "phase"]
    wanted = Phase.SUCCEEDED if rollout.result == "promoted" else Phase.ROLLING_BACK
    return next((event for event in reversed(phases) if event.phase is wanted), phases[-1] if phases else None)


def condemned(rollout: Rollout, why: Event | None) -> bool:
    """Whether a rollout that ended for this cause condemned what its canary ran."""
    return rollout.result == "rolled_back" and why is not None and why.reason in BY_EVIDENCE


def objection(rollout: Rollout, tried: CanarySpec, wanted: CanarySpec, retry: str) -> str:
    """Why `wanted` is not begun after this rollout of `tried`, as sentences; empty where nothing is against it.

    `retry` is the command that begins it all the same.
    """
    why = cause(rollout, rollout.history)
    if why is None or not condemned(rollout, why) or variant_digest(tried) != variant_digest(wanted):
        return ""
    return (
        f"{wanted.canary.name} runs what was rolled back in attempt {rollout.attempt}: {why.message} "
        f"It is not started again by itself. Change what {wanted.canary.name} runs, or allow it with `{retry}`."
    )
