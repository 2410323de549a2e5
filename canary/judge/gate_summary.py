"""One gate in plain numbers, as verdicts, sentences and `why` need them: values, evidence, and what is still missing.

Made by `verdicts.py` and `explain.py` from what the judge remembers; changes nothing.
"""

from dataclasses import dataclass

from canary.judge import bounds as bounds_
from canary.judge import cost, stage_totals, threshold
from canary.judge import sample_size as eta_
from canary.judge.arm_totals import Bounds
from canary.judge.bounds import Pick
from canary.judge.config import GateConfig, JudgeConfig, share_limit
from canary.judge.e_process import EProcess
from canary.judge.noise import CLEARING
from canary.judge.outcome import totals_of
from canary.judge.stage_totals import ArmTotals, BothTotals, StageTotals
from canary.judge.state import JudgeMemory
from canary.judge.stratum import Stratum
from canary.judge.threshold import Readings
from canary.verdict import Edge
from canary.weights import Arm

IDLE = 0.05
"""Of its usual rate of requests; below it a canary counts as without traffic, and no time is foretold."""


@dataclass(slots=True)
class GateSummary:
    """One gate where one population is asked about."""

    config: JudgeConfig
    gate: GateConfig
    memory: JudgeMemory
    population: Stratum
    totals: StageTotals
    """Of the stage that was counted last."""
    readings: Readings | None
    """For a gate that counts readings; None before the stage's first."""
    here: bool
    """Whether the stage that is asked about has begun."""
    known: Bounds
    canary: float | None
    stable: float | None
    arms: BothTotals
    """What both arms did since the stage that is asked about began."""

    @classmethod
    def of(
        cls, config: JudgeConfig, gate: GateConfig, memory: JudgeMemory, population: Stratum, *, here: bool
    ) -> "GateSummary":
        """What is known of a gate; `here` says whether the totals are those of the stage that is asked about."""
        totals = totals_of(memory, population, gate)
        known = population.bounds if gate.series == "histogram" else {}
        arms = totals.arms if here else BothTotals()
        if gate.kind == "readings":
            readings = memory.readings.get(gate.text) if here else None
            values = (readings.canary, readings.stable) if readings else (None, None)
            return cls(config, gate, memory, population, totals, readings, here, known, *values, arms)
        values = stage_totals.value(gate, arms.canary, known), stage_totals.value(gate, arms.stable, known)
        return cls(config, gate, memory, population, totals, None, here, known, *values, arms)

    @property
    def samples(self) -> tuple[float, float]:
        """Of canary and stable."""
        return stage_totals.samples(self.gate, self.arms.canary), stage_totals.samples(self.gate, self.arms.stable)

    @property
    def spent(self) -> tuple[float, float] | None:
        """For a gate on cost: its values by what canary and stable were really charged; None where they are those."""
        charged = [arm.totals.get(cost.SPENT) for arm in (self.arms.canary, self.arms.stable)]
        if self.gate.name != cost.DOLLARS or charged[0] is None or charged[1] is None or not all(self.samples):
            return None
        return charged[0] * self.gate.scale / self.samples[0], charged[1] * self.gate.scale / self.samples[1]

    @property
    def limit(self) -> float | None:
        """What the canary's value is held against."""
        return threshold.limit_of(self.gate.gate, self.stable)

    @property
    def e(self) -> EProcess:
        """The gate's e-process; for a gate without one, an empty one."""
        return self.population.gates.get(self.gate.text) or EProcess()

    @property
    def log_e(self) -> float:
        """Log evidence against the canary; of a gate with `by`, over all its populations."""
        return self.memory.log_e(self.gate.text, self.gate.gate.by) if self.gate.params is not None else 0.0

    @property
    def log_clear(self) -> float:
        """Log evidence for the canary in this stage."""
        return self.e.passing.log_e if self.here else 0.0

    @property
    def pick(self) -> Pick | None:
        """The bounds that a latency gate counts at."""
        return self.population.picks.get(self.gate.text)

    @property
    def edges(self) -> dict[Arm, tuple[Edge, float]]:
        """By arm, where its quantile is only known to lie under the first bound of its histogram, or over the last."""
        gate = self.gate
        found: dict[Arm, tuple[Edge, float]] = {}
        if gate.kind == "readings" or gate.quantile is None or gate.name not in self.known:
            return {}
        both: tuple[tuple[Arm, ArmTotals], ...] = (("canary", self.arms.canary), ("stable", self.arms.stable))
        for arm, totals in both:
            histogram = totals.histograms.get(gate.name)
            if histogram and (edge := bounds_.edge(gate.quantile, histogram, self.known[gate.name])) is not None:
                found[arm] = edge
        return found

    @property
    def beyond(self) -> bool:
        """Whether the canary's value is on the wrong side of the limit, shown or not."""
        at = self.edges.get("canary")
        if self.canary is None or (at is not None and at[0] == "under"):
            return False
        return threshold.is_beyond(self.gate.gate, self.canary, self.stable)

    @property
    def buckets(self) -> tuple[float, float] | None:
        """For a latency limit between two buckets: their bounds, since only they can be counted (0 and inf: none)."""
        pick = self.pick
        if pick is None or pick.accuses == pick.clears:
            return None
        edges = self.known[self.gate.name]
        return edges[pick.clears] if pick.clears >= 0 else 0.0, edges[pick.accuses]

    def samples_missing(self) -> float | None:
        """Canary samples that the case for a pass still needs, if all goes on as it does; None if unknown."""
        gate = self.gate
        missing = max(self.config.passes_at - max(self.log_clear, 0.0), 0.1)
        if gate.kind != "counts":
            return self._by_growth(missing)
        noise = self.e.baseline.aa_test.noise(CLEARING)
        bad, n = self.bad_of(self.arms.canary)
        if not gate.relative:
            return eta_.requests_for_limit(share_limit(gate.gate), bad, n, missing, noise.phi * noise.vr)
        bad_stable, n_stable = self.bad_of(self.arms.stable)
        if n_stable <= 0:
            bad_stable, n_stable, _ = self.e.baseline.usual
        rate = bad_stable / n_stable if n_stable > 0 else 0.0
        tempered = noise.at(bad_stable / max(self.totals.blocks, 1)) * noise.vr
        share = self.memory.stage.weight
        if gate.params is not None and gate.params.points is not None:
            return eta_.requests_by_points(rate, gate.params.points, share, missing, tempered)
        return eta_.requests_against_stable(rate, self.rho(), share, missing, tempered)

    def _by_growth(self, missing: float) -> float | None:
        """For sums: as many samples again as evidence has needed so far, in proportion."""
        served = self.samples[0]
        return missing / self.log_clear * served if self.log_clear > 0.1 and served > 0 else None

    def rho(self) -> float:
        """What is allowed against stable, as a ratio of bad events."""
        rule = self.gate.gate
        if self.gate.series == "histogram":
            return self.pick.ratio if self.pick else 1.0
        if rule.margin == "relative":
            return 1 + rule.limit
        return 1 + rule.limit / self.stable if self.stable else 1.0

    def bad_of(self, arm: ArmTotals) -> tuple[float, float]:
        """Bad events and trials of one arm since the stage began, at the bound that clears."""
        if self.gate.series == "errors":
            return arm.errors, arm.errors_of
        if self.gate.series == "histogram":
            histogram, pick = arm.histograms.get(self.gate.name), self.pick
            if not histogram or not pick:
                return 0.0, 0.0
            index = pick.clears
            return (histogram[-1] - histogram[index] if index >= 0 else histogram[-1]), histogram[-1]
        events, of = stage_totals.events_of(self.gate, arm)
        return (events if self.gate.gate.better == "lower" else of - events), of

    @property
    def idle(self) -> bool:
        """Whether the canary gets next to nothing now, where it got requests before in this stage."""
        began = self.memory.stage.began
        lasted = self.memory.clock.last - began if began is not None else 0.0
        return lasted > 0 and self.totals.rate * lasted < IDLE * self.arms.canary.requests

    def seconds_for(self, more: float | None) -> float | None:
        """Seconds until so many canary samples have come at the present rate; None where there is no traffic now."""
        rate = 0.0 if self.idle else self.totals.rate * self._samples_a_request()
        return more / rate if more is not None and rate > 0 else None

    def _samples_a_request(self) -> float:
        """One user in twenty may rate an answer, and each answer has hundreds of tokens; 0 while nobody has yet."""
        if self.gate.counted == "requests":
            return 1.0
        for arm, samples in zip((self.arms.canary, self.arms.stable), self.samples, strict=True):
            if samples > 0 and arm.requests > 0:
                return samples / arm.requests
        return 0.0
