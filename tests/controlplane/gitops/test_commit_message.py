"""The words of our commits: what a person reads, and trailers that nobody else can write."""

import json
from dataclasses import replace

from canary.judge import compile_gates
from canary.machine import begin
from canary.quarantine import variant_digest
from canary.rollout import Event, Phase, Reason, Rollout
from canary.spec.models import ModelCanary
from canary.spec.parse import parse
from controlplane.gitops.commit_message import promotion, rollback
from controlplane.gitops.git_state import PlanOrigin
from tests.controlplane.gitops.town import file

PLAN: ModelCanary = parse(file("chat", "v2"), "canary.yml")
EVIL = "slow\n\nSerinus-Result: promoted\x1b[2J\u202e"
ORIGIN = PlanOrigin("apps/chat/canary.yml", 11, "r", "a", "c" * 40, f"Eve {EVIL}", EVIL)


def rolled_back(message: str) -> tuple[Rollout, Event]:
    started = begin(compile_gates(PLAN.spec), name="chat", revision="r" * 16, attempt=3, now=1000.0)
    why = replace(
        started.history[0],
        event="phase",
        phase=Phase.ROLLING_BACK,
        reason=Reason.GATE_FAILED,
        message=message,
        evidence={
            "gate": f"latency p95 <= 200ms {EVIL}",
            "canary": 0.4591,
            "limit": 0.2,
            "samples": {},
            "stable": None,
        },
    )
    rollout = replace(started, result="rolled_back", phase=Phase.ROLLED_BACK, history=(*started.history, why))
    return replace(rollout, decided=1020.0, zero=1020.021, harm_began=1015.5), why


def trailers(text: str) -> list[str]:
    """The last paragraph: what git takes for trailers."""
    return text.rstrip("\n").split("\n\n")[-1].split("\n")


def test_a_rollback_says_what_happened_in_numbers_and_times() -> None:
    rollout, why = rolled_back("latency p95 is 459 ms.")
    text = rollback(PLAN, rollout, why, replace(ORIGIN, author="Ann"))
    assert text.startswith("Roll back chat: v1 instead of v2\n\nlatency p95 is 459 ms.\n\n")
    assert "zero    1970-01-01T00:17:00.021Z  (no traffic 21 ms after the decision)" in text
    assert "It came with cccccccccccc by Ann (apps/chat/canary.yml:11)." in text
    assert "serinus retry chat" in text
    assert all(len(line) <= 80 for line in text.split("\n\nSerinus-")[0].splitlines())


def test_only_a_verdict_on_what_ran_names_it_by_its_digest() -> None:
    """An abort says nothing about the canary, so another plan may try it at once."""
    rollout, why = rolled_back("latency p95 is 459 ms.")
    judged = rollback(PLAN, rollout, why, ORIGIN)
    assert f"Serinus-Variant: {variant_digest(PLAN.spec)}" in trailers(judged)
    assert "What it ran is not started again by itself." in judged
    aborted = rollback(PLAN, replace(rollout, result="aborted"), replace(why, reason=Reason.ABORTED), ORIGIN)
    assert "Serinus-Variant" not in aborted
    assert "This revision is not started again by itself." in aborted


def test_s6_no_name_sentence_or_gate_can_forge_a_trailer_or_steer_a_terminal() -> None:
    rollout, why = rolled_back(EVIL)
    for text in (rollback(PLAN, rollout, why, ORIGIN), promotion(PLAN, rollout, why, ORIGIN)):
        assert all(character.isprintable() or character == "\n" for character in text)
        assert [line for line in trailers(text) if line.startswith("Serinus-Result")] == ["Serinus-Result: rolled_back"]
        assert all(line.startswith("Serinus-") for line in trailers(text))
        assert len(text.split("\n", 1)[0]) <= 72


def test_the_evidence_is_strict_json_on_one_line_however_long_it_is() -> None:
    rollout, why = rolled_back("short")
    long = replace(why, evidence={"gate": "x", "why": "y" * 5000, "canary": float("nan")})
    for each in (why, long, None):
        line = next(
            line for line in trailers(rollback(PLAN, rollout, each, None)) if line.startswith("Serinus-Evidence")
        )
        assert len(line) < 1600
        assert "NaN" not in line
        json.loads(line.split(": ", 1)[1])


def test_a_promotion_says_who_is_stable_now() -> None:
    rollout, _ = rolled_back("x")
    done = replace(rollout, result="promoted", decided=None, zero=None, harm_began=None)
    text = promotion(PLAN, done, None, None)
    assert text.startswith("Promote v2 in chat\n\nv2 is what stable means from now on, in place of v1")
    assert "retry" not in text
