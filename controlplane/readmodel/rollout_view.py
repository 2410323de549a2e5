"""Joins what a store says of a rollout with what its running process saw last, for a picture.

Used by `state.py` and `actions.py`. Without a fresh look nothing is invented: readiness and rates are left out, and the
weights in force are those that the phase itself is a proof of.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from canary.judge.confidence_sequence import Interval
from canary.rollout import Phase, Rollout
from canary.serial import rfc3339
from canary.snapshot import MetricsStatus, RouteStatus, Snapshot, VariantStatus
from canary.spec.models import CanarySpec
from canary.weights import Arm
from controlplane.readmodel.promql import Graphs
from controlplane.view.facts import RolloutFacts
from controlplane.view.live import Live

FRESH = 10.0
"""Seconds after which nobody is taken to be carrying the rollout out: it looks four times a second."""
_MOVING = frozenset({Phase.SHIFTING, Phase.PROMOTING, Phase.ROLLING_BACK, Phase.BLIND})
"""Phases that are entered before the weights asked for are seen in force, or in which nothing is seen."""


NOBODY = "Nobody carries this rollout out now: the request waits until `serinus run` is started again."


@dataclass(frozen=True, slots=True)
class Staleness:
    """Whether what is shown may be behind the world: because nobody can be asked."""

    why: str = ""
    """A sentence; empty while it is live."""
    since: float | None = None
    """From when what is shown is (seconds since the epoch); None while it is live."""

    @property
    def moment(self) -> str | None:
        """The same as RFC 3339."""
        return None if self.since is None else rfc3339(self.since)


LIVE = Staleness()


@dataclass(frozen=True, slots=True)
class RolloutView:
    """One rollout as far as it can be known from outside its process."""

    rollout: Rollout
    seen: Snapshot
    running: bool
    """Whether its process looked at it within the last seconds."""
    looked_at: float | None
    """When it looked last; None when that is not known."""
    rates: Mapping[Arm, float] = field(default_factory=dict)
    counted: bool = True
    """Whether somebody counted the replicas that can serve."""
    of_record: bool = False
    """Whether it was written down at the last change, so that its age says nothing."""
    carrier: str = ""
    """Who carries it out, in a sentence; empty where `running` and `looked_at` say it all."""
    nobody: str = NOBODY
    """What becomes of a request while nobody carries it out."""
    retries: bool = False
    """Whether a rollout that was put back can be asked to begin once more."""
    lost: Staleness = LIVE
    """Whether all this may be behind the world."""
    bands: Mapping[str, Mapping[Arm, Interval]] = field(default_factory=dict)
    """By gate and arm the values that the counts allow, where whoever looked has said so."""
    graphs: Graphs | None = None
    """Where its numbers can be drawn; None where nobody can tell."""
    facts: RolloutFacts | None = None
    """What stands around it, for the panels; None where nobody can tell."""

    def with_nobody(self, effect: str) -> str:
        """What a request would do, and what becomes of it while nobody answers; empty for no effect."""
        return effect if self.running or not effect else f"{effect} {self.nobody}"


def view_of(spec: CanarySpec, rollout: Rollout, live: Live | None, now: float) -> RolloutView:
    """The best there is to know at `now` (seconds since the epoch)."""
    if live is None or live.attempt != rollout.attempt:
        return RolloutView(rollout, _from_record(spec, rollout), running=False, looked_at=None)
    running = not rollout.finished and now - live.at <= FRESH
    if live.events == rollout.events and live.verdicts:
        rollout = replace(rollout, verdicts=live.verdicts)
    seen = live.seen if running else replace(_from_record(spec, rollout), evidence=live.seen.evidence)
    bands = live.bands if live.events == rollout.events else {}
    return RolloutView(rollout, seen, running, live.at, live.rates if running else {}, bands=bands)


def _from_record(spec: CanarySpec, rollout: Rollout) -> Snapshot:
    """What follows from the record alone. Readiness does not; it is masked where it is shown."""
    at = rollout.since
    proven = rollout.phase not in _MOVING
    return Snapshot(
        stable=VariantStatus(at, spec.stable.replicas, spec.stable.replicas),
        canary=VariantStatus(at, spec.canary.replicas, spec.canary.replicas),
        route=RouteStatus(at, rollout.weights if proven else None),
        evidence=MetricsStatus(at, rollout.judge.previous),
    )
