"""The status of a ModelCanary as the API server knows it: what the operator writes, field by field, bounded.

Used by `crd.py`. The server drops what is not named here, so a field that the operator adds is added here first. Words
are not enumerated: a write by a newer operator must not fail because an older definition is still installed.
"""

from typing import Any

from canary.spec.crd_types import ANYTHING

Schema = dict[str, Any]
LONGEST_SENTENCE = 32_768


def _text(description: str, longest: int = 1024) -> Schema:
    return {"type": "string", "maxLength": longest, "description": description}


def _time(description: str) -> Schema:
    return {"type": "string", "format": "date-time", "description": description}


def _whole(description: str) -> Schema:
    return {"type": "integer", "format": "int64", "description": description}


def _number(description: str) -> Schema:
    return {"type": "number", "format": "double", "description": description}


def _object(description: str, required: list[str] | None = None, **properties: Schema) -> Schema:
    made: Schema = {"type": "object", "description": description, "properties": properties}
    return made | ({"required": required} if required else {})


CONDITIONS: Schema = {
    "type": "array",
    "maxItems": 16,
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
    "description": "What scripts wait for: Accepted, Ready, Progressing, Degraded, Blind.",
    "items": _object(
        "One condition.",
        ["type", "status", "lastTransitionTime", "reason", "message"],
        type=_text("What it is about.", 316),
        status=_text("True, False or Unknown.", 16),
        observedGeneration=_whole("The generation of the spec that it speaks of."),
        lastTransitionTime=_time("When its status changed last."),
        reason=_text("The reason in one word.", 1024),
        message=_text("The reason in a sentence.", LONGEST_SENTENCE),
    ),
}
GATES: Schema = {
    "type": "array",
    "maxItems": 60,
    "x-kubernetes-list-type": "atomic",
    "description": "What the judge said of each gate of the stage when it looked last. Values are base units.",
    "items": _object(
        "One gate.",
        ["gate", "verdict"],
        gate=_text("The gate as it is understood: `latency p95 <= 200ms`."),
        verdict=_text("pass, fail, or wait where evidence is missing.", 8),
        canary=_number("The canary's value."),
        stable=_number("Stable's value over the same time."),
        limit=_number("The limit that the canary's value is held against."),
        samples=_object(
            "Requests (or events) behind the values.",
            canary=_number("The canary's."),
            stable=_number("Stable's."),
        ),
        spoke=_text("Which rule decided: sequential, threshold, hard stop, data or blame.", 32),
        onBreach=_text("What its failure does: rollback, pause or hold.", 16),
        why=_text("The verdict in a sentence."),
    ),
}
HISTORY: Schema = {
    "type": "array",
    "maxItems": 20,
    "x-kubernetes-list-type": "atomic",
    "description": "The newest events, the last one last; `kubectl canary history` has all of them.",
    "items": _object(
        "One event.",
        ["id"],
        id=_text("Stable and unique: rollout/attempt/number.", 256),
        at=_time("When it happened."),
        event=_text("What kind of event: phase, weights, verdict, alert, git, operator, end.", 32),
        phase=_text("The phase after it.", 32),
        stage=_whole("The stage it happened in, from 0."),
        weight=_number("The canary's share after it, as a fraction."),
        reason=_text("The reason in one word.", 64),
        message=_text("What happened, in a sentence."),
    ),
}
SLOTS: Schema = {
    "type": "array",
    "maxItems": 4,
    "x-kubernetes-list-type": "atomic",
    "description": "Which place of the route is which variant, in the order of its backendRefs.",
    "items": _object(
        "One place.",
        ["variant"],
        variant=_text("The variant's name.", 63),
        since=_time("Since when it is there; the gateway's counters of that place are not its own before."),
    ),
}

STATUS: Schema = _object(
    "What the operator did, saw and decided; nothing here is for people to write.",
    observedGeneration=_whole("The generation of the spec that was looked at last."),
    version=_whole("Counts the writes of this status; a write that does not know the last one is refused."),
    fence=_whole("The writer's term of office; a writer of an earlier one is refused."),
    phase=_text("Where the rollout is.", 32),
    stage=_whole("The stage that is entered or judged, from 0."),
    stages=_whole("How many stages there are."),
    stageText=_text("Both, for people: 2/4.", 16),
    weight=_text("The canary's share of requests that was asked for.", 32),
    weightSeen=_text("The share that the gateway has accepted.", 32),
    weightServed=_text("The share of requests that was counted at the canary since the stage began.", 32),
    verdict=_text("All gates of the stage together: pass, fail, wait.", 8),
    reason=_text("Why the phase is what it is, in one word.", 64),
    message=_text("Why, in a sentence.", LONGEST_SENTENCE),
    revision=_text("Digest of the plan that is carried out.", 64),
    attempt=_whole("Counts the rollouts of this name, from 1."),
    began=_time("When the rollout began."),
    since=_time("When the phase began."),
    result=_text("How it ended: promoted, rolled_back, failed, aborted or superseded.", 32),
    harmBegan=_time("When the harm is estimated to have begun, for a rollback."),
    decided=_time("When the rollback was decided."),
    zero=_time("When the route was first seen to send the canary nothing after that."),
    conditions=CONDITIONS,
    gates=GATES,
    history=HISTORY,
    served=_object(
        "Requests answered since the rollout began.",
        stable=_whole("By stable."),
        canary=_whole("By the canary."),
    ),
    slots=SLOTS,
    plan=_text("The plan that is carried out, as text; the spec may have been changed since.", 1_048_576),
    state={"type": "object", **ANYTHING, "description": "The rollout's own state, for the operator; not for reading."},
)
