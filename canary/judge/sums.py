"""Sums by name, of whatever can be added up: counts by bucket, pairs of events and trials, plain numbers.

Used wherever replicas become arms and blocks become tallies. Nothing is changed in place, and what one side lacks is
the other's alone; a side without any names gives back the other as it is.
"""

from collections.abc import Callable, Mapping
from operator import add
from typing import TypeVar

Value = TypeVar("Value")


def by_name(
    was: Mapping[str, Value], more: Mapping[str, Value], plus: Callable[[Value, Value], Value]
) -> Mapping[str, Value]:
    """Both together."""
    if not more:
        return was
    if not was:
        return more
    sums = dict(was)
    for name, value in more.items():
        mine = was.get(name)
        sums[name] = value if mine is None else plus(mine, value)
    return sums


def counts(was: tuple[float, ...], more: tuple[float, ...]) -> tuple[float, ...]:
    """Counts at the same bounds."""
    return tuple(map(add, was, more))


def pair(was: tuple[float, float], more: tuple[float, float]) -> tuple[float, float]:
    """Events and their trials."""
    return was[0] + more[0], was[1] + more[1]
