"""What the judge remembers of a rollout, by name: plain numbers, lists and texts, so that a crash costs nothing.

Made and moved on by `judge.py`. The layout belongs to `JudgeState.version`.
"""

from typing import Any

from canary.judge import hard_stop, replica_share, share_check, tally
from canary.judge.config import JudgeConfig
from canary.judge.evidence import Evidence

Memory = dict[str, Any]
_TIMES = ("began", "first", "last", "spent_until", "next_start")


def fresh(config: JudgeConfig) -> Memory:
    """Before anything was seen."""
    return {
        "gates": list(config.texts),
        # evidence: by gate, what `evidence.py` remembers; the gates whose evidence has begun; when each last had data
        "evidence": {case.gate.text: Evidence().kept() for case in config.tested},
        "started": [],
        "told": {},
        # gates with `by`: what `segments.py` remembers by label, and their evidence over all segments
        "segments": {},
        "combined": {},
        # KPIs whose events come late: what `delayed.py` remembers by gate
        "delayed": {},
        # latency: finite bounds by histogram, stable's counts of all time, and the bounds picked for each gate
        "bounds": {},
        "history": {},
        "picks": {},
        # the stage: which one the tallies are of, since when, whether its weights are in force, blocks and rates
        "tally_stage": None,
        "tally": {"canary": tally.empty(), "stable": tally.empty()},
        "began": None,
        "settled": False,
        "blocks": 0,
        "rate": 0.0,
        "weight": 0.0,
        # the clock: first canary traffic, last block, its length and the usual one, beginnings of harm accounted for
        "first": None,
        "last": 0.0,
        "length": 0.0,
        "interval": 0.0,
        "stage": None,
        "spent_until": 0.0,
        "next_start": 0.0,
        # rules beside the tests, and what has failed for good
        "looks": {},
        "hard": dict(hard_stop.NOTHING),
        "refused": dict(hard_stop.NOTHING),
        "share": dict(share_check.NOTHING),
        "replicas": dict(replica_share.NOTHING),
        "whole": False,
        "present": {},
        "failed": {},
        "problems": [],
    }


def tick(memory: Memory, t: float) -> None:
    """A block that ends at `t`: how long it was, and how long blocks usually are."""
    if memory["last"] and t > memory["last"]:
        length = t - memory["last"]
        memory["length"] = length
        memory["interval"] = length if memory["interval"] == 0 else 0.8 * memory["interval"] + 0.2 * length
    memory["last"] = t


def clock_moved(memory: Memory, by: float) -> Memory:
    """The source's clock was set: every time in memory moves along, so that ages stay what they were."""
    moved = memory | {name: memory[name] + by for name in _TIMES if memory[name] is not None}
    moved["told"] = {text: t + by for text, t in memory["told"].items()}
    moved["evidence"] = {text: kept | {"low_at": kept["low_at"] + by} for text, kept in memory["evidence"].items()}
    moved["delayed"] = {
        text: kept
        | {"since": kept["since"] + by, "slot": kept["slot"] + by, "ends": [end + by for end in kept["ends"]]}
        for text, kept in memory["delayed"].items()
    }
    for each in {"hard", "refused"} & memory.keys():
        kept = memory[each].items()
        moved[each] = {k: v + by if k in {"since", "began"} and v is not None else v for k, v in kept}
    moved["looks"] = {
        text: {k: v + by if k in {"since", "first_breach"} and v is not None else v for k, v in looks.items()}
        for text, looks in memory["looks"].items()
    }
    return moved
