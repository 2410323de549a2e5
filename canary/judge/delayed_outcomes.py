"""Late labels: a KPI with `delay: 1h` is judged on requests that are an hour old, as events come that much later.

Called by `judge.py`, gate by gate. Events that come now are held against the requests of `delay` ago, in slots of a
32nd of the delay, which is all that has to be remembered. Running totals do not say which request an event belongs
to; with a share of traffic that stays, the arms' events stand to each other as their requests do, however the events
are spread over the delay. So a slot counts only if the canary's share has been the same for the whole of the delay
before it; what came within a delay of a change of weights is left out.

Counters that a gate names itself (`events`, `of`) are weighed in slots, too, with a delay or without. They come from
other jobs than the requests, each scraped at its own time, and an event may be counted a scrape before or after what
it is one of. In a slot of a minute or more, in which each arm had some of these, that is of no account; and it is made
up for in the next slot. When a slot ends depends on the denominators alone, never on events. Decides nothing.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

from canary.judge import gate_counts, stratum
from canary.judge.arm_totals import ArmPair, ArmSums
from canary.judge.clock import NO_BEGINNING, Beginnings
from canary.judge.config import GateConfig
from canary.judge.increments import Increments
from canary.judge.stage_totals import StageTotals
from canary.judge.stratum import Stratum

SLOTS = 32
"""Parts that a delay is divided into."""
SLOT_S = 60.0
"""Seconds of a slot at least, for counters that a gate names itself: longer than any usual scrape interval."""
FEWEST = 10.0
"""What each arm has in such a slot at least."""
Groups = tuple[float, float, float]
"""A number for the canary and for each half of stable."""
_NONE: Groups = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class DelayedOutcomes:
    """What is remembered of one gate whose events come late."""

    weight: float | None = None
    """The canary's share."""
    since: float = 0.0
    """Since when it has been that (seconds)."""
    slot: float = 0.0
    """End of the last slot."""
    events: Groups = _NONE
    """Events since then."""
    requests: Groups = _NONE
    """All requests so far."""
    ends: tuple[float, ...] = ()
    """Ends of the slots that are remembered."""
    sums: tuple[Groups, ...] = ()
    """All requests until each of them."""
    begins: Beginnings = NO_BEGINNING
    """Beginnings of harm that no slot has accounted for."""
    totals: StageTotals = StageTotals()  # noqa: RUF009 - frozen
    """Of the requests that are old enough."""

    @property
    def slot_length(self) -> float:
        """Seconds between the ends of the last two slots; 0 before there are two."""
        return self.ends[-1] - self.ends[-2] if len(self.ends) > 1 else 0.0

    def ripe_at(self, delay: float) -> float | None:
        """When the first slot of the present share will be full; None before there is a share."""
        return self.since + delay * (1 + 1 / SLOTS) if self.weight else None

    def clock_moved(self, by: float) -> "DelayedOutcomes":
        """The source's clock was set: ages stay what they were."""
        return replace(self, since=self.since + by, slot=self.slot + by, ends=tuple([end + by for end in self.ends]))


def take_in(
    everything: Stratum,
    gate: GateConfig,
    delayed: DelayedOutcomes,
    block: Increments,
    sides: ArmPair,
    begins: Beginnings,
    *,
    exposed: bool,
    new_stage: bool,
) -> tuple[Stratum, DelayedOutcomes]:
    """Take in a block for one gate: weigh what has grown old enough by it, if it fills a slot."""
    delay = gate.gate.delay or 0.0
    totals = StageTotals() if new_stage else delayed.totals
    begins = delayed.begins.and_then(begins)
    after, ripe = _ripe(gate, replace(delayed, totals=totals, begins=begins), block, sides, delay)
    if ripe is not None:
        after = replace(after, begins=NO_BEGINNING)
        if exposed:
            rate = (ripe.canary.requests or 0.0) / (after.slot_length or 1.0)
            after = replace(after, totals=replace(totals.plus(ripe, 0.0), rate=rate))
    nothing = ArmPair(ArmSums(), ArmSums(), (ArmSums(), ArmSums()), [])
    everything = stratum.weigh(
        everything,
        (gate,),
        ripe or nothing,
        {},
        begins,
        t=block.t,
        stage=block.stage,
        exposed=exposed,
        new_stage=new_stage,
    )
    return everything, after


def _ripe(
    gate: GateConfig, delayed: DelayedOutcomes, block: Increments, sides: ArmPair, delay: float
) -> tuple[DelayedOutcomes, ArmPair | None]:
    """Count the block; if it fills a slot, its events and the requests of a delay ago, if they can be held together."""
    if delayed.weight != block.weight:
        delayed = replace(delayed, weight=block.weight, since=block.t)
    if not delayed.ends:
        return replace(delayed, ends=(block.t,), sums=(_NONE,), slot=block.t), None
    canary, (first, second) = sides.canary, sides.halves
    if gate.gate.events is not None:  # nobody tells stable's replicas apart
        first, second = sides.stable, ArmSums()
    of_canary, of_first, of_second = (gate_counts.events_of(gate, group) for group in (canary, first, second))
    events = _plus(delayed.events, (of_canary[0], of_first[0], of_second[0]))
    requests = _plus(delayed.requests, (of_canary[1], of_first[1], of_second[1]))
    elsewhere = gate.gate.events is not None
    if not _full(gate, block, requests, delayed, max(delay / SLOTS, SLOT_S if elsewhere else 0.0)):
        return replace(delayed, events=events, requests=requests), None
    begin = delayed.slot
    ends, sums = (*delayed.ends, block.t), (*delayed.sums, requests)
    kept = slice(-SLOTS - 2, None)
    delayed = replace(delayed, slot=block.t, events=_NONE, requests=requests, ends=ends[kept], sums=sums[kept])
    if ends[0] > begin - delay or delayed.since > begin - delay - (SLOT_S if elsewhere else 0.0):
        return delayed, None
    then, now = _sums_at(begin - delay, ends, sums), _sums_at(block.t - delay, ends, sums)
    of = [b - a for a, b in zip(then, now, strict=True)]
    arms = [_arm(gate, group, e, n) for group, e, n in zip((canary, first, second), events, of, strict=True)]
    stable = _arm(gate, sides.stable, events[1] + events[2], of[1] + of[2])
    halves = (stable, ArmSums()) if elsewhere else (arms[1], arms[2])
    return delayed, ArmPair(arms[0], stable, halves, [])


def _full(gate: GateConfig, block: Increments, requests: Groups, delayed: DelayedOutcomes, length: float) -> bool:
    """Whether a slot of at least this length ends here."""
    if block.t - delayed.slot < length:
        return False
    if gate.gate.events is None:
        return True
    canary, first, second = (now - then for now, then in zip(requests, delayed.sums[-1], strict=True))
    return (canary >= FEWEST or not block.weight) and (first + second >= FEWEST or not gate.relative)


def _plus(was: Groups, more: Groups) -> Groups:
    return was[0] + more[0], was[1] + more[1], was[2] + more[2]


def _sums_at(t: float, ends: Sequence[float], sums: Sequence[Groups]) -> list[float]:
    """All requests until `t`, on a straight line between two slots' ends."""
    index = min(max(bisect_left(ends, t), 1), len(ends) - 1)
    part = (t - ends[index - 1]) / (ends[index] - ends[index - 1])
    return [a + (b - a) * part for a, b in zip(sums[index - 1], sums[index], strict=True)]


def _arm(gate: GateConfig, group: ArmSums, events: float, of: float) -> ArmSums:
    """What an arm did with those requests; requests without events have had their chance."""
    arm = ArmSums(pods=group.pods)
    if of > 0:
        arm.requests = of
        arm.kpis = {gate.name: (events, of)}
    return arm
