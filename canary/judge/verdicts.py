"""The verdicts of a stage, from what the judge remembers. Called by `judge.py`; changes nothing.

The order of `_verdict` is the order in which a gate may be answered: what has failed stays failed, what has no data
waits, what is convicted fails, what is cleared passes, all else waits and says for what.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

from canary.judge import eta as eta_
from canary.judge import sentences, tally, threshold
from canary.judge.docket import Case, Docket, share_limit
from canary.judge.evidence import LEARNT, Evidence, above
from canary.spec.models import CanarySpec
from canary.verdict import Answer, GateVerdict, Judgement
from canary.wording import duration

Memory = Mapping[str, Any]
HARD_STOP = "hard stop"
STALE_INTERVALS, STALE_SECONDS = 3.0, 15.0
"""Data older than so many scrapes, and than so many seconds, is stale."""


def judgement(spec: CanarySpec, docket: Docket, memory: Memory, stage: int, now: float) -> Judgement:
    """All gates of the stage."""
    gates = [_verdict(spec, docket, memory, case, now) for case in docket.by_stage[stage] if _judged(case, memory)]
    if HARD_STOP in memory["failed"]:
        gates.insert(0, recorded(HARD_STOP, memory["failed"][HARD_STOP]))
    return Judgement(tuple(gates), problem=_shared_cause(docket, memory, stage))


def _judged(case: Case, memory: Memory) -> bool:
    """Relative gates need a stable arm with traffic: at 100 % there is none."""
    return not case.gate.relative or memory["weight"] < 1 or case.gate.text in memory["failed"]


def recorded(gate: str, kept: Mapping[str, Any]) -> GateVerdict:
    """A failure as it was written down when it was found."""
    return GateVerdict(gate, Answer.FAIL, **kept)


def known_bounds(memory: Memory) -> dict[str, list[float]]:
    """Upper bounds of all histograms met, `inf` last."""
    return {name: [*finite, math.inf] for name, finite in memory["bounds"].items()}


def _verdict(spec: CanarySpec, docket: Docket, memory: Memory, case: Case, now: float) -> GateVerdict:
    """One gate's answer."""
    gate = case.gate
    if gate.text in memory["failed"]:
        return recorded(gate.text, memory["failed"][gate.text])
    facts = Facts(docket, memory, case)
    missing = _missing(memory, case, now)
    if missing:
        return facts.verdict(Answer.WAIT, missing)
    if case.kind == "readings":
        return by_readings(memory, case, facts, now)
    if facts.n_canary < (gate.min_samples or 0):
        lacking = (gate.min_samples or 0) - facts.n_canary
        return facts.wait(sentences.too_few(case, facts.values, lacking), lacking)
    if gate.on_breach != "rollback" and facts.log_e >= facts.needed:
        return facts.failed()
    if not memory["settled"]:
        return facts.verdict(Answer.WAIT, f"{sentences.name(case)}: waiting for the new weights to be in force.")
    if facts.log_clear >= math.log(1 / docket.beta) and facts.log_e + math.log(max(case.weight, 1e-9)) < 0:
        return facts.verdict(Answer.PASS, sentences.passed(case, facts.values, spec.judge.confidence), "sequential")
    more = facts.requests_missing()
    return facts.wait(sentences.waiting(case, facts.values, more, facts.seconds_for(more), spec.judge.confidence), more)


class Facts:
    """The numbers of one case, as sentences and verdicts need them."""

    def __init__(self, docket: Docket, memory: Memory, case: Case) -> None:
        self.docket, self.memory, self.case = docket, memory, case
        known = known_bounds(memory)
        mine, theirs = memory["tally"]["canary"], memory["tally"]["stable"]
        self.canary: float | None = tally.value(case, mine, known)
        self.stable: float | None = tally.value(case, theirs, known)
        self.n_canary, self.n_stable = tally.samples(case, mine), tally.samples(case, theirs)
        if case.kind == "readings":
            looks = memory["looks"].get(case.gate.text) or threshold.empty(0.0)
            self.canary, self.stable = looks["canary"], looks["stable"]
        self.limit = threshold.limit_of(case.gate, self.stable)
        self.evidence = memory["evidence"].get(case.gate.text, {})
        self.log_e: float = self.evidence.get("log_e", 0.0)
        self.log_clear: float = self.evidence.get("log_clear", 0.0)
        self.needed = math.log(1 / docket.alpha)
        self.values = sentences.both(case, self.canary, self.stable, self.n_canary, self.n_stable)

    def verdict(
        self,
        answer: Answer,
        why: str,
        spoke: Literal["sequential", "threshold", "hard stop", "data", "blame"] = "data",
        eta: float | None = None,
        harm_began: float | None = None,
    ) -> GateVerdict:
        """A verdict with all the evidence."""
        return GateVerdict(
            gate=self.case.gate.text,
            verdict=answer,
            why=why,
            canary=self.canary,
            stable=self.stable,
            limit=self.limit,
            log_e=round(self.log_e, 4) if self.case.rule is not None else None,
            samples={"canary": self.n_canary, "stable": self.n_stable},
            spoke=spoke,
            on_breach=self.case.gate.on_breach,
            eta=eta,
            harm_began=harm_began,
        )

    def wait(self, why: str, more: float | None) -> GateVerdict:
        """Not decided: the sequential test goes on."""
        return self.verdict(Answer.WAIT, why, "sequential", self.seconds_for(more))

    def failed(self) -> GateVerdict:
        """The sequential test convicts."""
        began, (xv, nv, xc, nc) = self.evidence["low_at"], self.evidence["since"]
        since = ""
        if self.case.kind == "counts" and nv > 0:
            what = self._bad()
            stable = f" and {sentences.many(xc)} of stable's {sentences.many(nc)}" if nc > 0 else ""
            lately = duration(max(self.memory["last"] - began, 0.0))
            mine = f"{sentences.many(xv)} of {sentences.many(nv)} canary requests"
            since = f"; {mine}{stable} {what} in the last {lately}"
        why = sentences.failed(self.case, self.values, self.log_e, self.needed, since)
        return self.verdict(Answer.FAIL, why, "sequential", harm_began=began)

    def _bad(self) -> str:
        """What a bad event of this case is."""
        if self.case.series == "histogram":
            pick = self.memory["picks"].get(self.case.gate.text)
            bound = self.memory["bounds"][self.case.name][int(pick[0])] if pick else 0.0
            return f"took longer than {sentences.seconds(bound)}"
        return "failed" if self.case.series == "errors" else "were bad"

    def requests_missing(self) -> float | None:
        """Canary requests that the case for a pass still needs, if all goes on as it does; None if unknown."""
        case = self.case
        missing = max(math.log(1 / self.docket.beta) - max(self.log_clear, 0.0), 0.1)
        if case.kind == "sums":
            return None
        noise = Evidence.of(self.evidence).clearing_noise
        mine, theirs = self.memory["tally"]["canary"], self.memory["tally"]["stable"]
        bad, n = self._bad_of(mine)
        if not case.gate.relative:
            return eta_.requests_for_limit(share_limit(case.gate), bad, n, missing, noise.phi * noise.vr)
        bad_stable, n_stable = self._bad_of(theirs)
        share = self.memory["weight"]
        rate = bad_stable / n_stable if n_stable > 0 else 0.0
        events = bad_stable / max(self.memory["blocks"], 1)
        return eta_.requests_against_stable(rate, self._rho(), share, missing, noise.at(events) * noise.vr)

    def _rho(self) -> float:
        """What is allowed against stable, as a ratio of bad events."""
        gate = self.case.gate
        if self.case.series == "histogram":
            pick = self.memory["picks"].get(gate.text)
            return float(pick[2]) if pick else 1.0
        if gate.margin == "relative":
            return 1 + gate.limit
        return 1 + gate.limit / self.stable if self.stable else 1.0

    def _bad_of(self, side: tally.Tally) -> tuple[float, float]:
        """Bad events and trials of one arm since the stage began, at the bound that clears."""
        if self.case.series == "errors":
            return side["errors"], side["errors_of"]
        if self.case.series == "histogram":
            histogram, pick = side["histograms"].get(self.case.name), self.memory["picks"].get(self.case.gate.text)
            if not histogram or not pick:
                return 0.0, 0.0
            index = int(pick[1])
            return (histogram[-1] - histogram[index] if index >= 0 else histogram[-1]), histogram[-1]
        events, of = tally.events_of(self.case, side)
        return (events if self.case.gate.better == "lower" else of - events), of

    def seconds_for(self, more: float | None) -> float | None:
        """Seconds until so many canary requests have come, at the present rate."""
        rate = self.memory["rate"]
        return more / rate if more is not None and rate > 0 else None


def _missing(memory: Memory, case: Case, now: float) -> str:
    """What data is missing and for how long; empty when all is there."""
    told = memory["told"].get(case.gate.text)
    who = sentences.name(case)
    because = f" ({'; '.join(memory['problems'])})" if memory["problems"] else ""
    if told is None:
        if (
            case.gate.relative
            and case.series == "histogram"
            and case.gate.text not in memory["picks"]
            and memory["history"].get(case.name)
        ):
            seen = memory["history"][case.name][-1]
            return f"{who}: learning stable's usual values, {sentences.many(seen)} requests so far{because}."
        began = memory["began"]
        waited = f" for {duration(max(now - began, 0.0))}" if began is not None else " yet"
        return f"{who}: no data from the canary{waited}{because}."
    old = now - told
    if old > max(STALE_SECONDS, STALE_INTERVALS * memory["interval"]):
        return f"{who}: nothing new for {duration(old)}{because}; the last numbers are too old to judge by."
    return ""


def by_readings(memory: Memory, case: Case, facts: Facts, now: float) -> GateVerdict:
    """The answer of a gate that counts readings beyond a limit."""
    gate = case.gate
    looks = memory["looks"].get(gate.text) or threshold.empty(now)
    values = sentences.amount(case, facts.canary) + " on the canary"
    if facts.stable is not None:
        values += f", {sentences.amount(case, facts.stable)} on stable"
    limit = f"limit {sentences.amount(case, facts.limit)}"
    if looks["breaches"] > gate.failures:
        count = f"{looks['breaches']} of {looks['looks']} readings were beyond it and {gate.failures} are forgiven"
        why = f"{sentences.name(case)}: {values}, {limit}; {count}."
        return facts.verdict(Answer.FAIL, why, "threshold", harm_began=looks["first_breach"])
    if looks["looks"] == 0:
        window = gate.window or 0.0
        left = max(looks["since"] + window - now, 0.0)
        if gate.min_samples is not None and looks["samples"] < gate.min_samples:
            so_far = f"{sentences.many(looks['samples'])} of {gate.min_samples} canary requests"
            why = f"{sentences.name(case)}: {so_far} that this gate asks for."
            return facts.verdict(Answer.WAIT, why)
        why = f"{sentences.name(case)}: the first window of {duration(window)} is full in {duration(left)}."
        return facts.verdict(Answer.WAIT, why, eta=left)
    if not memory["settled"]:
        return facts.verdict(Answer.WAIT, f"{sentences.name(case)}: waiting for the new weights to be in force.")
    if looks["beyond"]:
        used = f"{looks['breaches']} of {gate.failures} forgiven readings are used up"
        why = f"{sentences.name(case)}: {values}, {limit}; {used}."
        return facts.verdict(Answer.WAIT, why, "threshold")
    why = f"{sentences.name(case)}: {values}, {limit}; {looks['looks']} readings, {looks['breaches']} beyond it."
    return facts.verdict(Answer.PASS, why, "threshold")


def _shared_cause(docket: Docket, memory: Memory, stage: int) -> str:
    """Both arms worse than stable's own history at once: nobody's fault in particular; empty otherwise."""
    for case in docket.by_stage[stage]:
        if case.kind != "counts" or case.gate.text in memory["failed"]:
            continue
        e = Evidence.of(memory["evidence"][case.gate.text])
        xv, nv, xc, nc = e.fast
        if e.usual[2] < LEARNT or e.usual[1] <= 0:
            continue
        usual, noise = e.usual[0] / e.usual[1], e.clearing_noise
        if above(xv, nv, usual, noise) and above(xc, nc, usual, noise):
            return (
                f"Both arms are worse than stable's own history: {sentences.name(case)} counts "
                f"{sentences.percent(xv / nv)} bad on the canary and {sentences.percent(xc / nc)} on stable, usually "
                f"{sentences.percent(usual)}. A shared cause: the canary is neither blamed nor passed."
            )
    return ""
