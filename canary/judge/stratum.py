"""A population: all the traffic of both arms, or one segment of it. Bounds, e-processes, totals, and stable's history.

Part of the judge's memory, moved on by `judge.py` for all traffic together and by `segments.py` for each value of a
label. Decides nothing.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from canary.judge import bounds, e_process, gate_counts, onset_prior, sums
from canary.judge.arm_totals import ArmPair, Bounds
from canary.judge.bounds import Pick
from canary.judge.clock import Beginnings
from canary.judge.config import GateConfig
from canary.judge.e_process import EProcess, EvidenceRequest
from canary.judge.stage_totals import StageTotals


@dataclass(frozen=True, slots=True)
class Stratum:
    """What is remembered of one population."""

    gates: Mapping[str, EProcess] = field(default_factory=dict)
    """By gate text."""
    started: tuple[str, ...] = ()
    """Gates whose evidence about the canary has begun."""
    told: Mapping[str, float] = field(default_factory=dict)
    """By gate, when the canary had data last (seconds)."""
    finite: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Finite upper bounds of the histograms met, in seconds."""
    history: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Stable's cumulative histograms of all time."""
    picks: Mapping[str, Pick] = field(default_factory=dict)
    """By gate, the bounds it counts at."""
    totals: StageTotals = StageTotals()  # noqa: RUF009 - frozen
    """Since the stage began."""
    requests: float = 0.0
    """Of both arms, of all time."""

    @classmethod
    def of(cls, gates: Iterable[GateConfig]) -> "Stratum":
        """Before anything was seen of it."""
        return cls({gate.text: EProcess() for gate in gates})

    @property
    def bounds(self) -> Bounds:
        """Upper bounds of the histograms met, the last infinite."""
        return {name: (*finite, math.inf) for name, finite in self.finite.items()}

    def beginning_stage(self) -> "Stratum":
        """With its totals begun afresh."""
        return replace(self, totals=StageTotals())

    def counting(self, sides: ArmPair, known: Bounds, length: float) -> "Stratum":
        """After adding a block that the canary may be blamed for to its totals."""
        totals, finite = self.totals.plus(sides, length), self.knowing(known).finite
        return Stratum(self.gates, self.started, self.told, finite, self.history, self.picks, totals, self.requests)

    def knowing(self, known: Bounds) -> "Stratum":
        """With the bounds of histograms that were not met before."""
        if len(known) == len(self.finite):
            return self
        return replace(self, finite={name: edges[:-1] for name, edges in known.items()})

    def clock_moved(self, by: float) -> "Stratum":
        """The source's clock was set: ages stay what they were."""
        gates = {text: replace(e, onset=replace(e.onset, at=e.onset.at + by)) for text, e in self.gates.items()}
        return replace(self, gates=gates, told={text: t + by for text, t in self.told.items()})


def weigh(
    population: Stratum,
    gates: Sequence[GateConfig],
    sides: ArmPair,
    known: Bounds,
    begins: Beginnings,
    *,
    t: float,
    stage: int,
    exposed: bool,
    new_stage: bool,
) -> Stratum:
    """The population after its gates have weighed a block that ends at `t`, and learnt from it.

    `exposed` says whether the canary may be blamed for it.
    """
    after, picks, told = dict(population.gates), population.picks, dict(population.told)
    started, arms = population.started, gate_counts.told_apart(sides)
    for gate in gates:
        text, params = gate.text, gate.params
        if params is None:
            continue
        e, pick = after[text], picks.get(text)
        if gate.series == "histogram" and gate.name in known:
            before, pick = pick, bounds.pick(gate, pick, known[gate.name], population.history.get(gate.name))
            if pick is not None and pick != before:
                picks = {**picks, text: pick}
                if before is not None and (before.accuses, before.clears) != (pick.accuses, pick.clears):
                    e = replace(e, baseline=e.baseline.forgetting())
        if new_stage:
            e = e.beginning_stage()
        counts = gate_counts.numbers(gate, arms, pick, e.baseline.held)
        asked = None
        if exposed and (counts.nv > 0 or counts.weight > 0):  # the canary told something
            told[text] = t
            if stage in gate.stages:
                new = text not in started
                if new:
                    started = (*started, text)
                asked = EvidenceRequest(t, *_begins(gate, begins, new=new))
        after[text] = e_process.update(e, params, counts, asked)
    history = sums.by_name(population.history, sides.stable.histograms, sums.counts)
    return Stratum(after, started, told, population.finite, history, picks, population.totals, population.requests)


def _begins(gate: GateConfig, begins: Beginnings, *, new: bool) -> tuple[float, bool]:
    """Weight of harm that begins with this block, and whether the slow test starts again.

    A gate of other stages than the present one is not asked: it only learns what is usual for stable.
    """
    if new:
        return onset_prior.first(len(gate.stages)), True
    if begins.moved:
        return begins.lately + onset_prior.later(len(gate.stages)), True
    return begins.lately, begins.due
