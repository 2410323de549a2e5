"""The recorded world as another plan would have met it. Used by `canary.replay`; decides nothing.

Three things are assumed, and `docs/replay.md` says so to users. The route follows what the plan asks for. Each arm
would have answered its requests as it did. And where the plan gives the canary another share than was recorded, the arm
that was given too much is thinned to the right share; nothing is ever multiplied, so no evidence is made up, and
verdicts come later rather than earlier than they would have. While one arm had no traffic at all there is nothing to
thin: the totals then stand still, and the judge waits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from canary.action import Action, SetWeights
from canary.snapshot import Counters, MetricsStatus, PodCounters, RouteStatus, Snapshot
from canary.weights import ALL_STABLE, ARMS, Arm, Weights

Shares = Mapping[Arm, float]
"""By which part of what each arm was recorded to serve counts."""
WHOLE: Shares = dict.fromkeys(ARMS, 1.0)


class Counterfactual:
    """Snapshots of the record, with the route and the totals that the other plan would have seen."""

    def __init__(self) -> None:
        self._recorded: Snapshot | None = None
        self._at = 0.0
        self._asked = ALL_STABLE
        """What the other plan has asked for, and therefore has."""
        self._route = ALL_STABLE
        """What was really in force when the totals were read last."""
        self._totals: Counters | None = None
        """The newest recorded totals;"""
        self._thinned: Counters | None = None
        """and those totals as the other plan sees them."""

    def see(self, at: float, seen: Snapshot) -> None:
        """The next snapshot of the record."""
        self._recorded, self._at = seen, at
        if seen.evidence.counters is not None:
            self.as_if(seen.evidence.counters)
        if seen.route.weights is not None:
            self._route = seen.route.weights

    def as_if(self, counters: Counters) -> Counters:
        """Newer recorded totals as the other plan would have read them."""
        before, thinned = self._totals, self._thinned
        if before is None or thinned is None:
            self._totals = self._thinned = counters
            return counters
        if counters.at == before.at:
            return thinned
        shares = thinning(self._route, self._asked)
        self._totals = counters
        if shares is not None:
            self._thinned = _grown(thinned, before, counters, shares)
            return self._thinned
        return thinned

    def carry_out(self, actions: Sequence[Action]) -> None:
        """What the other plan decided: its weights are in force from the next look on."""
        for action in actions:
            if isinstance(action, SetWeights):
                self._asked = action.weights

    def seen(self, now: float) -> Snapshot:
        """The newest snapshot as it would look now: the record has nothing new, so its facts are as young as then."""
        if self._recorded is None:
            raise ValueError("nothing was recorded yet")
        seen, later = self._recorded, now - self._at
        weights = seen.route.weights if seen.route.weights is None else self._asked
        return replace(
            seen,
            stable=replace(seen.stable, at=seen.stable.at + later),
            canary=replace(seen.canary, at=seen.canary.at + later),
            route=RouteStatus(seen.route.at + later, weights, seen.route.problem),
            evidence=self._evidence(seen.evidence, later),
        )

    def _evidence(self, evidence: MetricsStatus, later: float) -> MetricsStatus:
        return replace(evidence, at=evidence.at + later, counters=self._thinned)


def thinning(recorded: Weights, asked: Weights) -> Shares | None:
    """Which part of each arm's requests to count; None where an arm that should have traffic had none."""
    if recorded == asked:
        return WHOLE
    was = {"canary": recorded.share, "stable": 1 - recorded.share}
    wanted = {"canary": asked.share, "stable": 1 - asked.share}
    if any(wanted[arm] > 0 and was[arm] <= 0 for arm in ARMS):
        return None
    least = min(was[arm] / wanted[arm] for arm in ARMS if wanted[arm] > 0)
    return {arm: wanted[arm] * least / was[arm] if was[arm] > 0 else 1.0 for arm in ARMS}


def _grown(mine: Counters, before: Counters, now: Counters, shares: Shares) -> Counters:
    """My totals and the shares of what was added since."""
    segments = {
        label: {
            value: _arms(
                mine.segments.get(label, {}).get(value, {}), before.segments.get(label, {}).get(value, {}), arms, shares
            )
            for value, arms in values.items()
        }
        for label, values in now.segments.items()
    }
    return replace(now, arms=_arms(mine.arms, before.arms, now.arms, shares), segments=segments)


Pods = Mapping[Arm, Mapping[str, PodCounters]]


def _arms(mine: Pods, before: Pods, now: Pods, shares: Shares) -> Pods:
    return {
        arm: {
            name: _pod(mine.get(arm, {}).get(name), before.get(arm, {}).get(name), pod, shares[arm])
            for name, pod in pods.items()
        }
        for arm, pods in now.items()
    }


def _pod(mine: PodCounters | None, before: PodCounters | None, now: PodCounters, share: float) -> PodCounters:
    """One replica's running totals; what was not there before is taken as it is, as a new process's would be."""
    if mine is None or before is None:
        return now
    fields = ("requests", "errors", "histograms", "totals", "kpis")
    grown = {name: _added(getattr(mine, name), getattr(before, name), getattr(now, name), share) for name in fields}
    return replace(now, **grown)


def _added(mine: Any, before: Any, now: Any, share: float) -> Any:
    """A total, or a mapping or pair of totals, of the same shape."""
    match now:
        case None:
            return None
        case Mapping():
            mine, before = mine or {}, before or {}
            return {key: _added(mine.get(key), before.get(key), value, share) for key, value in now.items()}
        case tuple():
            pairs = zip(mine or (None,) * len(now), before or (None,) * len(now), now, strict=True)
            return tuple(_added(*each, share) for each in pairs)
        case _:
            if mine is None or before is None:
                return now
            return mine + share * (now - before) if now >= before else share * now
