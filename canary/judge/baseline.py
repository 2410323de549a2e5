"""Lessons: what stable's own history, from before the canary had traffic, teaches the judge.

Called by `canary.baseline`. History teaches the noise, what is usual, and which bucket bounds speak for each latency
gate. It is evidence neither for nor against anybody, so it moves no clock and opens no test. Judges nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from canary.judge import feed, judge
from canary.judge.config import JudgeConfig
from canary.judge.feed import ArmTotals
from canary.judge.increments import Increments
from canary.judge.state import JudgeState
from canary.snapshot import Counters


def learnt(config: JudgeConfig, history: Sequence[Counters]) -> JudgeState:
    """A judge that has seen nothing but this history (oldest first); for questions about noise."""
    state = judge.begin(config)
    for block in _blocks(config, history):
        state = judge.update(config, state, block)
    return state


def taught(config: JudgeConfig, state: JudgeState, history: Sequence[Counters]) -> JudgeState:
    """The state with what this history (oldest first) teaches. Meant for one that has not seen the canary's traffic."""
    before = judge.for_plan(config, state)
    after = before
    for block in _blocks(config, history):
        after = judge.update(config, after, block)
    if before.memory is None or after.memory is None:
        return state
    known, taught_ = before.memory.everything, after.memory.everything
    everything = replace(
        known, gates=taught_.gates, finite=taught_.finite, history=taught_.history, picks=taught_.picks
    )
    return replace(before, memory=replace(before.memory, everything=everything, labels=after.memory.labels))


def _blocks(config: JudgeConfig, history: Sequence[Counters]) -> Iterator[Increments]:
    """What stable did between the readings, at times below 0: by that the judge knows history."""
    previous = None
    for counters in map(_of_stable, history):
        if previous is not None and counters.at > previous.at:
            block = feed.difference(previous, counters, stage=0, weight=0.0, warmup=config.spec.judge.warmup)
            yield replace(block, t=counters.at - history[-1].at - 1)
        previous = feed.remember(previous, counters, config)


def _of_stable(counters: Counters) -> Counters:
    """Without whatever else was running then."""
    segments: dict[str, dict[str, ArmTotals]] = {
        label: {value: {"stable": arms["stable"]} for value, arms in values.items() if "stable" in arms}
        for label, values in counters.segments.items()
    }
    return Counters(counters.at, {"stable": counters.arms.get("stable", {})}, segments=segments)
