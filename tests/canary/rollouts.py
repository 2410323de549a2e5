"""Rollouts and events for tests: plain examples, and hypothesis strategies that fill every field."""

from typing import Any

from hypothesis import strategies as st

from canary.judge.clock import DataClock
from canary.judge.e_process import EProcess
from canary.judge.state import JudgeMemory, JudgeState
from canary.judge.stratum import Stratum
from canary.rollout import Event, Phase, Reason, Rollout
from canary.snapshot import Counters, PodCounters
from canary.verdict import GateAnswer, GateVerdict
from canary.weights import WHOLE, Weights

NUMBERS = st.floats(allow_nan=False)
TEXTS = st.text(max_size=20)
TOTALS = st.floats(min_value=0, max_value=1e12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
EVIDENCE = st.dictionaries(TEXTS, JSON, max_size=3)
HISTOGRAMS = st.dictionaries(
    st.sampled_from(["latency", "ttft"]), st.dictionaries(st.floats(min_value=0), TOTALS, max_size=4), max_size=2
)
PODS = st.builds(
    PodCounters,
    requests=st.none() | TOTALS,
    errors=st.none() | TOTALS,
    histograms=HISTOGRAMS,
    totals=st.dictionaries(TEXTS, TOTALS, max_size=2),
    kpis=st.dictionaries(TEXTS, st.tuples(TOTALS, TOTALS), max_size=2),
    gauges=st.dictionaries(TEXTS, NUMBERS, max_size=2),
    started_at=st.none() | TOTALS,
)
ARMS = st.sampled_from(["stable", "canary"])
COUNTERS = st.builds(
    Counters,
    at=TOTALS,
    arms=st.dictionaries(ARMS, st.dictionaries(TEXTS, PODS, max_size=2), max_size=2),
    readings=st.dictionaries(TEXTS, st.dictionaries(ARMS, NUMBERS, max_size=2), max_size=2),
    unrouted=st.none() | TOTALS,
)
VERDICTS = st.builds(
    GateVerdict,
    gate=TEXTS,
    verdict=st.sampled_from(GateAnswer),
    grounds=TEXTS,
    canary=st.none() | NUMBERS,
    limit=st.none() | NUMBERS,
    samples=st.dictionaries(TEXTS, TOTALS, max_size=2),
    harm_began=st.none() | TOTALS,
)
MEMORIES = st.builds(
    JudgeMemory,
    gates=st.lists(TEXTS, max_size=2).map(tuple),
    everything=st.builds(
        Stratum,
        gates=st.dictionaries(TEXTS, st.builds(EProcess, log_e=NUMBERS), max_size=2),
        told=st.dictionaries(TEXTS, TOTALS, max_size=2),
    ),
    clock=st.builds(DataClock, first=st.none() | TOTALS, last=TOTALS, stage=st.none() | st.integers(0, 9)),
    failed=st.dictionaries(TEXTS, VERDICTS, max_size=1),
    problems=st.lists(TEXTS, max_size=2).map(tuple),
)
EVENTS = st.builds(
    Event,
    id=TEXTS,
    seq=st.integers(0, 99),
    at=st.floats(min_value=0, max_value=1e11),
    t=NUMBERS,
    rollout=TEXTS,
    revision=TEXTS,
    event=st.sampled_from(["phase", "weights", "verdict", "alert", "git", "operator"]),
    phase=st.sampled_from(Phase),
    stage=st.integers(0, 9),
    weight=st.floats(0, 1),
    reason=st.sampled_from(Reason),
    message=TEXTS,
    evidence=EVIDENCE,
)
ROLLOUTS = st.builds(
    Rollout,
    name=TEXTS,
    revision=TEXTS,
    attempt=st.integers(1, 9),
    began=TOTALS,
    phase=st.sampled_from(Phase),
    reason=st.sampled_from(Reason),
    weights=st.builds(Weights, st.integers(0, WHOLE)),
    resume_to=st.none() | st.sampled_from(Phase),
    passed=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    judge=st.builds(JudgeState, previous=st.none() | COUNTERS, memory=st.none() | MEMORIES),
    verdicts=st.lists(VERDICTS, max_size=2).map(tuple),
    answered=st.lists(TEXTS, max_size=2).map(tuple),
    zero=st.none() | TOTALS,
    result=st.none() | st.sampled_from(["promoted", "rolled_back"]),
    served=st.dictionaries(ARMS, TOTALS, max_size=2),
    unrouted=st.none() | TOTALS,
    history=st.lists(EVENTS, max_size=2).map(tuple),
    events=st.integers(0, 99),
)


def an_event(number: int = 1, *, rollout: str = "chat", attempt: int = 1, **changes: Any) -> Event:
    """The event `<rollout>/<attempt>/<number>`, with these fields changed."""
    fields: dict[str, Any] = {
        "id": f"{rollout}/{attempt}/{number}",
        "seq": number,
        "at": 1_000.0 + number,
        "t": float(number),
        "rollout": rollout,
        "revision": "r1",
        "event": "phase",
        "phase": Phase.PREPARING,
        "stage": 0,
        "weight": 0.0,
        "reason": Reason.VARIANTS_STARTING,
        "message": f"event {number}",
    }
    return Event(**(fields | changes))


def a_rollout(name: str = "chat", *, attempt: int = 1, **changes: Any) -> Rollout:
    """A rollout at its beginning, with these fields changed."""
    fields: dict[str, Any] = {"name": name, "revision": "r1", "attempt": attempt, "began": 1_000.0}
    return Rollout(**(fields | changes))
