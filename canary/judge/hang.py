"""Requests that the canary begins and never finishes: streams that are silent after their headers, stalled engines.

Called by `judge.py` at every block. Where a proxy counts what it begins and what is open, those that finished are held
against those that would have if the canary took twice as long as stable. Stable's mean time `W` in the system is its
open requests by its rate (Little's law). Whatever the distribution of times, if its mean is `2W` then no
more are open on average than the concave envelope at `2W` of how many were begun within an age. So `L`, the rest, is
what must have finished by now, and the chance of as few as `d` is at most `exp(-(L - d + d ln(d/L)))` (Chernoff's
bound). Each look and each window costs its share of the chance to be wrong. What clients cancel has not finished; twice
stable's share of it is forgiven. While stable hangs as well, `W` grows with its open requests, and nothing is said.

Does not see single requests, nor what a finished answer says. Where no proxy counts, `standstill.py` looks instead.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from canary.judge.arm_totals import ArmPair, ArmSums
from canary.judge.portable_math import log

SHORTEST_S = 10.0
"""A window must be so long: a pause of some seconds is no hang."""
DOUBT_S = 2.0
"""From so long a window on nothing passes while nothing finishes."""
LONGEST_S = 900.0
"""What is older is forgotten."""
RESOLUTION = 0.2
"""Spans of the past are put together up to this part of their age."""
SLACK = 2.0
"""How many times as long as stable a canary may take, and cancel, without being asked why."""
PART = 0.5
"""The chance to be wrong, as a part of `falseRollback`, which it comes on top of."""
DOUBT = 3.0
"""Logarithm of the odds from which nothing passes: 20 to 1."""
HANDFUL = 10.0
"""Requests of stable that make no rate."""
KNOWN = 20.0
"""Requests of stable from which its usual time is remembered, for when it gets no more."""
LEARN_EVERY = 16
"""Looks from one update of what is usual to the next, while nothing is open for long."""
LOOKS = 0.07
"""Logarithm of the sum over n of `1/((n+2) ln²(n+2))`."""


class ProgressSpan(NamedTuple):
    """What both arms did within some time."""

    since: float
    until: float
    begun: float = 0.0
    """Of the canary."""
    finished: float = 0.0
    stable_begun: float = 0.0
    stable_finished: float = 0.0
    stable_cancelled: float = 0.0
    stable_open: float = 0.0
    """On average."""

    @property
    def length(self) -> float:
        """In seconds."""
        return self.until - self.since


class Unfinished(NamedTuple):
    """The window that speaks most clearly against the canary."""

    begun: float = 0.0
    finished: float = 0.0
    seconds: float = 0.0
    stable_begun: float = 0.0
    stable_finished: float = 0.0
    evidence: float = 0.0
    """Logarithm of the odds against so few, if the canary took at most `SLACK` times as long as stable."""
    needed: float = 0.0


NONE_FOUND = Unfinished()


@dataclass(frozen=True, slots=True)
class Hang:
    """What was begun and finished lately, and what it says."""

    spans: tuple[ProgressSpan, ...] = ()
    looks: int = 0
    usual: tuple[float, float] | None = None
    """Stable's mean time in seconds, and the share of its requests that clients cancelled."""
    plainest: Unfinished = NONE_FOUND
    """Of windows that are long enough to end the rollout."""
    doubt: Unfinished = NONE_FOUND
    """Of all windows."""

    def clock_moved(self, by: float) -> "Hang":
        """The source's clock was set: ages stay what they were."""
        moved = tuple(span._replace(since=span.since + by, until=span.until + by) for span in self.spans)
        return replace(self, spans=moved)


def look(before: Hang, sides: ArmPair, t: float, length: float, false_rollback: float) -> Hang:
    """After a block of `length` seconds that ends at `t`; the same where nobody counts what the canary begins."""
    if "ended" not in sides.canary.totals and "ended" not in sides.stable.totals:
        return before
    spans = _coarser((*before.spans, _span(before, sides, t, length)), t)
    windows = len([span for span in spans if t - span.since >= SHORTEST_S])
    needed = log(1 / (PART * false_rollback)) + _cost(before.looks + 1) + log(max(windows, 1))
    plainest = doubt = Unfinished(needed=needed)
    if before.looks % LEARN_EVERY and not _half_is_open(spans, t):
        return Hang(spans, before.looks + 1, before.usual, plainest, doubt)
    window, pace = ProgressSpan(t, t), (math.inf, 0.0)
    windows_open: list[tuple[float, float]] = []
    for first in reversed(range(len(spans))):
        window = _together(spans[first], window)
        windows_open.append((window.length, window.stable_open))
        lately = next(open_ for length, open_ in windows_open if 2 * length >= window.length)
        pace = _pace(window, max(window.stable_open, lately), before.usual)
        found = _unfinished(spans[first:], window, pace)._replace(needed=needed)
        if window.length >= DOUBT_S and found.evidence > doubt.evidence:
            doubt = found
        if window.length >= SHORTEST_S and found.evidence > plainest.evidence:
            plainest = found
    usual = pace if window.stable_begun >= KNOWN else before.usual
    return Hang(spans, before.looks + 1, usual, plainest, doubt)


def stops(hang: Hang) -> bool:
    """Whether it has seen enough."""
    return 0 < hang.plainest.needed <= hang.plainest.evidence


def doubts(hang: Hang) -> bool:
    """Whether too little has finished for anything to pass."""
    return hang.doubt.evidence >= DOUBT


def _half_is_open(spans: Sequence[ProgressSpan], t: float) -> bool:
    """Whether there is a window in which less than half has finished: all others have nothing to say."""
    begun = finished = 0.0
    for span in reversed(spans):
        begun, finished = begun + span.begun, finished + span.finished
        if 2 * finished < begun and t - span.since >= DOUBT_S:
            return True
    return False


def _span(before: Hang, sides: ArmPair, t: float, length: float) -> ProgressSpan:
    """The newest one. An arm of which nothing is told this time is told of next time."""
    begun, finished, _, _ = _counts(sides.canary)
    stable_begun, stable_finished, cancelled, open_ = _counts(sides.stable)
    if open_ is None:
        open_ = before.spans[-1].stable_open if before.spans else 0.0
    return ProgressSpan(t - length, t, begun, finished, stable_begun, stable_finished, cancelled, open_)


def _counts(arm: ArmSums) -> tuple[float, float, float, float | None]:
    """Requests that were begun, that ended by themselves, and that were cancelled; and those that are open now."""
    if "ended" not in arm.totals:
        return 0.0, 0.0, 0.0, None
    cancelled = arm.totals.get("cancelled", 0.0)
    return arm.totals["begun"], arm.totals["ended"] - cancelled, cancelled, math.fsum(arm.gauges.get("open", ()))


def _coarser(spans: Sequence[ProgressSpan], t: float) -> tuple[ProgressSpan, ...]:
    """Without what is too old, and with neighbours put together where they are short for their age."""
    kept: list[ProgressSpan] = []
    for span in spans:
        if t - span.until > LONGEST_S:
            continue
        if kept and span.until - kept[-1].since <= RESOLUTION * (t - span.until):
            kept[-1] = _together(kept[-1], span)
        else:
            kept.append(span)
    return tuple(kept)


def _together(one: ProgressSpan, other: ProgressSpan) -> ProgressSpan:
    whole = one.length + other.length
    part = one.length / whole if whole > 0 else 0.5
    return ProgressSpan(
        one.since,
        other.until,
        one.begun + other.begun,
        one.finished + other.finished,
        one.stable_begun + other.stable_begun,
        one.stable_finished + other.stable_finished,
        one.stable_cancelled + other.stable_cancelled,
        part * one.stable_open + (1 - part) * other.stable_open,
    )


def _pace(window: ProgressSpan, open_: float, usual: tuple[float, float] | None) -> tuple[float, float]:
    """Stable's mean time in the system, and the share that was cancelled; what is usual where it gets nothing now.

    Up to one more request counts as open, so that a handful of requests is not taken for a rate.
    """
    begun = window.stable_begun
    if begun > 0:
        mean = (open_ + min(1.0, HANDFUL / begun)) * window.length / begun
        return mean, window.stable_cancelled / begun
    return usual if usual is not None and open_ <= 0 else (math.inf, 0.0)


def _unfinished(spans: Sequence[ProgressSpan], window: ProgressSpan, pace: tuple[float, float]) -> Unfinished:
    """What a window says; of no weight where at least half of what is expected has finished."""
    finished, (mean, cancelled) = max(window.finished, 0.0), pace
    told = Unfinished(window.begun, finished, window.length, window.stable_begun, window.stable_finished)
    if 2 * finished >= window.begun:  # as nearly always, and no more than was begun is expected
        return told
    expected = window.begun * (1 - SLACK * cancelled) - _most_open(spans, window.until, SLACK * mean)
    if 2 * finished >= expected:
        return told
    fewer = finished * log(finished / expected) if finished > 0 else 0.0
    return told._replace(evidence=expected - finished + fewer)


def _most_open(spans: Sequence[ProgressSpan], t: float, mean: float) -> float:
    """How many of these requests can be open on average at most, if they take `mean` seconds on average.

    Each request is taken for as young as its span allows.
    """
    begun, ages = 0.0, [(0.0, 0.0)]
    for span in reversed(spans):
        begun += span.begun
        ages.append((t - span.until, begun))
    most = max([count for age, count in ages if age <= mean])
    for young, few in ages:
        if young > mean:
            break
        for old, many in ages:
            if old > mean:
                most = max(most, few + (many - few) * (mean - young) / (old - young))
    return most


def _cost(looks: int) -> float:
    """What the nth look costs, so that all of them together cost nothing more, however many there are."""
    n = log(looks + 2)
    return n + 2 * log(n) + LOOKS
