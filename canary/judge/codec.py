"""Reads what a store keeps of a judge's state, also what the build before this one wrote.

Called through `state.JudgeState`, whenever a rollout is read. A state of version 2 (names, lists and numbers in plain
mappings) is turned into one of this version, number by number. What cannot be read keeps its totals and is marked, so
that `canary.catch_up` judges from history and says so; judging by half a state would be worse. Writing needs no code:
the types in `state.py` are what is written.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic import TypeAdapter, ValidationError

from canary.judge.alignment import Held

UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError)
"""How a state of another layout shows itself."""


def readable(plain: Mapping[str, Any]) -> dict[str, Any]:
    """A stored state as this build's types read it."""
    from canary.judge.state import VERSION, JudgeMemory

    version, memory = plain.get("version", VERSION), plain.get("memory")
    state = {"previous": plain.get("previous"), "unreadable": bool(plain.get("unreadable"))}
    with suppress(*UNREADABLE, ValidationError):  # what cannot be read is a scrape at most, and never half of one
        state["held"] = TypeAdapter(Held).validate_python(plain.get("held") or {})
    if not memory:
        return state
    try:
        if version == OLDER:
            memory = _of_version_2(memory)
        elif version != VERSION:
            return {**state, "unreadable": True}
        return {**state, "memory": TypeAdapter(JudgeMemory).validate_python(memory)}
    except (*UNREADABLE, ValidationError):
        return {**state, "unreadable": True}


OLDER = 2


def _of_version_2(memory: Mapping[str, Any]) -> dict[str, Any]:
    """The same numbers in this version's places."""
    labels = {
        name: {
            "named": kept["named"],
            "parts": {value: _population(part) for value, part in kept["parts"].items()},
            "stakes": kept["stakes"],
            "combined": memory["combined"],
        }
        for name, kept in memory["segments"].items()
    }
    return {
        "gates": memory["gates"],
        "everything": _population(memory),
        "clock": {name: memory[name] for name in _CLOCK},
        "stage": {
            "index": memory["tally_stage"],
            "began": memory["began"],
            "settled": memory["settled"],
            "weight": memory["weight"],
        },
        "labels": labels,
        "delayed": {gate: _delayed(kept) for gate, kept in memory["delayed"].items()},
        "readings": {gate: _readings(kept) for gate, kept in memory["looks"].items()},
        "outage": _outage(memory["hard"]),
        "refused": _outage(memory["refused"]) if "refused" in memory else {},
        "sample_ratio": {name: memory["share"][name] for name in ("more", "less", "pool", "fine", "asked")},
        "replicas": _replicas(memory["replicas"]),
        "whole": memory["whole"],
        "present": memory["present"],
        "failed": {gate: {"gate": gate, "verdict": "fail", **kept} for gate, kept in memory["failed"].items()},
        "problems": memory["problems"],
    }


_CLOCK = ("first", "last", "length", "interval", "stage", "spent_until", "next_start")


def _population(kept: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "gates": {gate: _e_process(e) for gate, e in kept["evidence"].items()},
        "started": kept["started"],
        "told": kept["told"],
        "finite": kept["bounds"],
        "history": kept["history"],
        "picks": {
            gate: {"accuses": int(pick[0]), "clears": int(pick[1]), "ratio": pick[2], "requests": pick[3]}
            for gate, pick in kept["picks"].items()
        },
        "totals": _totals(kept),
        "requests": kept.get("requests", 0.0),
    }


def _totals(kept: Mapping[str, Any]) -> dict[str, Any]:
    return {"arms": kept["tally"], "blocks": kept["blocks"], "rate": kept["rate"]}


def _e_process(e: Mapping[str, Any]) -> dict[str, Any]:
    against = ("bet", "ratio", "unspent", "totals", "squares", "slow_test", "pool", "scale")
    return {
        "against": {name: e[name] for name in against},
        "passing": {"clear": e["clear"], "sums": e["clear_sums"], "log_e": e["log_clear"]},
        "onset": {"low": e["low"], "at": e["low_at"], "since": e["since"]},
        "baseline": {"aa_test": e["placebo"], "recent": e["fast"], "usual": e["usual"], "held": e["held"]},
        "log_e": e["log_e"],
    }


def _delayed(kept: Mapping[str, Any]) -> dict[str, Any]:
    same = ("weight", "since", "slot", "events", "requests", "ends", "sums", "begins")
    return {name: kept[name] for name in same} | {"totals": _totals(kept)}


def _readings(kept: Mapping[str, Any]) -> dict[str, Any]:
    same = ("since", "breaches", "canary", "stable", "beyond", "samples", "first_breach", "parts")
    return {name: kept[name] for name in same} | {"count": kept["looks"]}


def _outage(kept: Mapping[str, Any]) -> dict[str, Any]:
    last, same = kept["last"], ("canary", "stable", "since", "streak", "began")
    found: dict[str, Any] = {name: kept[name] for name in same}
    return found | {"shares": kept.get("shares", ()), "last": last and (last[:2], last[2:])}


def _replicas(kept: Mapping[str, Any]) -> dict[str, Any]:
    names = ("requests", "few", "few_squares", "many", "many_squares")
    parts = {
        arm: {name: dict(zip(names, row, strict=True)) for name, row in rows.items()}
        for arm, rows in kept["rows"].items()
    }
    log_e, arm, name = kept["worst"]
    same = ("since", "fine", "pool")
    return {name: kept[name] for name in same} | {"parts": parts, "log_e": log_e, "suspect": (arm, name)}
