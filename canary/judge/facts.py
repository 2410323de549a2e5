"""The numbers of one gate as verdicts and sentences need them: both arms' values, evidence, and what is still missing.

Made by `verdicts.py` and `flip.py` from what the judge remembers; changes nothing.
"""

import math
from collections.abc import Mapping
from typing import Any

from canary.judge import delayed, sentences, tally, threshold
from canary.judge import eta as eta_
from canary.judge.config import GateConfig, JudgeConfig, share_limit
from canary.judge.evidence import placebo_of
from canary.judge.noise import CLEARING
from canary.judge.portable_math import log
from canary.verdict import Answer, GateVerdict, Spoke
from canary.wording import duration

Memory = Mapping[str, Any]


def known_bounds(memory: Memory) -> dict[str, list[float]]:
    """Upper bounds of all histograms met, `inf` last."""
    return {name: [*finite, math.inf] for name, finite in memory["bounds"].items()}


class Facts:
    """One case in numbers. `here` says whether the tallies are those of the stage that is asked about."""

    def __init__(
        self, config: JudgeConfig, memory: Memory, case: GateConfig, known: dict[str, list[float]], *, here: bool
    ) -> None:
        if case.gate.delay:
            memory = delayed.own(memory, case)
        self.config, self.memory, self.case, self.known = config, memory, case, known
        tallies = memory["tally"] if here else tally.NOTHING
        self.mine, self.theirs = tallies["canary"], tallies["stable"]
        if case.kind == "readings":
            looks = memory["looks"].get(case.text) if here else None
            self.canary: float | None = looks["canary"] if looks else None
            self.stable: float | None = looks["stable"] if looks else None
        else:
            self.canary, self.stable = tally.value(case, self.mine, known), tally.value(case, self.theirs, known)
        self.n_canary, self.n_stable = tally.samples(case, self.mine), tally.samples(case, self.theirs)
        self.limit = threshold.limit_of(case.gate, self.stable) if case.relative else case.gate.limit
        self.evidence: Mapping[str, Any] = memory["evidence"].get(case.text, {})
        self.log_e: float = memory["combined"].get(case.text, self.evidence.get("log_e", 0.0))
        self.log_clear: float = self.evidence.get("log_clear", 0.0) if here else 0.0
        self.needed = log(1 / config.alpha)

    @property
    def values(self) -> str:
        """Both arms' values with their samples, for a sentence."""
        return sentences.both(self.case, self.canary, self.stable, self.n_canary, self.n_stable)

    @property
    def beyond(self) -> bool:
        """Whether the canary's value is on the wrong side of the limit, shown or not."""
        return self.canary is not None and threshold.is_beyond(self.case.gate, self.canary, self.stable)

    @property
    def buckets(self) -> str:
        """For a latency limit between two buckets: which ones, since only they can be counted."""
        pick = self.memory["picks"].get(self.case.text)
        if pick is None or pick[0] == pick[1]:
            return ""
        edges = [*self.memory["bounds"][self.case.name], math.inf]
        low = sentences.seconds(edges[int(pick[1])]) if pick[1] >= 0 else "nothing"
        high = sentences.seconds(edges[int(pick[0])]) if edges[int(pick[0])] < math.inf else "nothing"
        return f" (the buckets around that limit are {low} and {high})"

    def verdict(
        self, answer: Answer, why: str, spoke: Spoke = "data", eta: float | None = None, harm_began: float | None = None
    ) -> GateVerdict:
        """A verdict with all the evidence."""
        return GateVerdict(
            gate=self.case.text,
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

    def failed(self) -> GateVerdict:
        """The sequential test convicts."""
        began, (xv, nv, xc, nc) = self.evidence["low_at"], self.evidence["since"]
        since = ""
        if self.case.kind == "counts" and nv > 0:
            stable = f" and {sentences.many(xc)} of stable's {sentences.many(nc)}" if nc > 0 else ""
            lately = duration(max(self.memory["last"] - began, 0.0))
            mine = f"{sentences.many(xv)} of {sentences.many(nv)} canary {self.case.counted}"
            since = f"; {mine}{stable} {self._bad()} in the last {lately}"
        why = sentences.failed(self.case, self.values, self.log_e, self.needed, since)
        return self.verdict(Answer.FAIL, why, "sequential", harm_began=began)

    def _bad(self) -> str:
        """What a bad event of this case is."""
        if self.case.series == "histogram":
            pick = self.memory["picks"].get(self.case.text)
            bound = self.memory["bounds"][self.case.name][int(pick[0])] if pick else 0.0
            return f"took longer than {sentences.seconds(bound)}"
        return "failed" if self.case.series == "errors" else "were bad"

    def samples_missing(self, beta: float) -> float | None:
        """Canary samples that the case for a pass still needs, if all goes on as it does; None if unknown."""
        case = self.case
        missing = max(log(1 / beta) - max(self.log_clear, 0.0), 0.1)
        if case.kind != "counts":
            return self._by_growth(missing)
        noise = placebo_of(self.evidence).read(CLEARING)
        bad, n = self.bad_of(self.mine)
        if not case.relative:
            return eta_.requests_for_limit(share_limit(case.gate), bad, n, missing, noise.phi * noise.vr)
        bad_stable, n_stable = self.bad_of(self.theirs)
        if n_stable <= 0:
            bad_stable, n_stable, _ = self.evidence["usual"]
        rate = bad_stable / n_stable if n_stable > 0 else 0.0
        events = bad_stable / max(self.memory["blocks"], 1)
        share = self.memory["weight"]
        if case.rule is not None and case.rule.points is not None:
            return eta_.requests_by_points(rate, case.rule.points, share, missing, noise.at(events) * noise.vr)
        return eta_.requests_against_stable(rate, self.rho(), share, missing, noise.at(events) * noise.vr)

    def _by_growth(self, missing: float) -> float | None:
        """For sums: as many samples again as evidence has needed so far, in proportion."""
        if self.log_clear <= 0.1 or self.n_canary <= 0:
            return None
        return missing / self.log_clear * self.n_canary

    def rho(self) -> float:
        """What is allowed against stable, as a ratio of bad events."""
        gate = self.case.gate
        if self.case.series == "histogram":
            pick = self.memory["picks"].get(gate.text)
            return float(pick[2]) if pick else 1.0
        if gate.margin == "relative":
            return 1 + gate.limit
        return 1 + gate.limit / self.stable if self.stable else 1.0

    def bad_of(self, side: tally.Tally) -> tuple[float, float]:
        """Bad events and trials of one arm since the stage began, at the bound that clears."""
        if self.case.series == "errors":
            return side["errors"], side["errors_of"]
        if self.case.series == "histogram":
            histogram, pick = side["histograms"].get(self.case.name), self.memory["picks"].get(self.case.text)
            if not histogram or not pick:
                return 0.0, 0.0
            index = int(pick[1])
            return (histogram[-1] - histogram[index] if index >= 0 else histogram[-1]), histogram[-1]
        events, of = tally.events_of(self.case, side)
        return (events if self.case.gate.better == "lower" else of - events), of

    def seconds_for(self, more: float | None) -> float | None:
        """Seconds until so many canary samples have come, at the present rate; None if that is not known."""
        rate = self.memory["rate"] * self._samples_a_request()
        return more / rate if more is not None and rate > 0 else None

    def _samples_a_request(self) -> float:
        """One user in twenty may rate an answer, and each answer has hundreds of tokens; 0 while nobody has yet."""
        if self.case.counted == "requests":
            return 1.0
        for side, samples in ((self.mine, self.n_canary), (self.theirs, self.n_stable)):
            if samples > 0 and side["requests"] > 0:
                return samples / float(side["requests"])
        return 0.0
