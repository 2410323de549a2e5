"""A machine that carries out rollouts at once, for tests of what git has to do with them.

Stands where `controlplane.program.run_rollout` stands and keeps the same store, so that everything after it is real.
How a rollout ends is in its canary's name: `good…` is promoted, `bad…` rolled back, `slow…` goes on until somebody ends
or leaves it, `broken…` cannot be started on this machine; those of `UNLUCKY` fail for what is not their doing.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from canary.errors import ExternalError
from canary.judge import compile_gates
from canary.machine import begin
from canary.rollout import Event, Phase, Reason, Result, Rollout
from canary.snapshot import MetricsStatus, RouteStatus, Snapshot, VariantStatus
from canary.spec import revision
from canary.spec.models import ModelCanary
from canary.spec.stored import to_text
from canary.weights import Weights
from controlplane.adapters.sqlite_store import SqliteStore
from controlplane.adapters.system_clock import SystemClock
from controlplane.program import Audience, Controls

SEEN = Snapshot(VariantStatus(0.0), VariantStatus(0.0), RouteStatus(0.0), MetricsStatus(0.0))
EVIDENCE: Mapping[str, Any] = {
    "gate": "error_rate <= 5%",
    "canary": 0.3,
    "stable": 0.001,
    "limit": 0.05,
    "samples": {"canary": 412.0, "stable": 7801.0},
}
WHY = "error_rate is 30 % on the canary, limit 5 %."
UNLUCKY = {"alone": Reason.STABLE_NOT_READY, "lost": Reason.ROUTE_NOT_READY}


class Machine:
    """Carries out what it is given; remembers what that was."""

    def __init__(self) -> None:
        self.began: list[str] = []
        """Rollout and canary of everything that was begun, in order."""
        self.superseded: list[str] = []
        self.ends: set[str] = set()
        """Rollouts of slow canaries that are to be found bad now."""

    async def __call__(
        self, plan: ModelCanary, *, state: Path, keep: bool, audience: Audience, controls: Controls
    ) -> Rollout:
        """As `run_rollout` does it."""
        name, canary = plan.metadata.name, plan.spec.canary.name
        if canary.startswith("broken"):
            raise ExternalError("Port 8080 is in use.")
        store = SqliteStore(state / "serinus.db")
        try:
            stored = await store.load(name)
            version = stored.version if stored else 0
            if stored and not stored.rollout.finished and stored.rollout.revision == revision(plan):
                rollout = stored.rollout
            else:
                if stored and not stored.rollout.finished:
                    self.superseded.append(name)
                attempt = stored.rollout.attempt + 1 if stored else 1
                now = SystemClock().now()
                rollout = begin(compile_gates(plan.spec), name=name, revision=revision(plan), attempt=attempt, now=now)
                self.began.append(f"{name} {canary}")
                version = await store.save(rollout, to_text(plan), version)
            for event in rollout.history:  # one that goes on tells what was told before
                audience.event(event)
            if canary.startswith("slow"):
                rollout = await self._wait(rollout, audience, controls)
            elif canary.startswith("good"):
                rollout = ended_as(rollout, Phase.SUCCEEDED, Reason.PROMOTED, f"{canary} is promoted.", "promoted")
            elif canary in UNLUCKY:
                why = f"{canary} could not be tried."
                rollout = ended_as(rollout, Phase.ROLLING_BACK, UNLUCKY[canary], why, "failed")
            else:
                rollout = ended_as(rollout, Phase.ROLLING_BACK, Reason.GATE_FAILED, WHY, "rolled_back")
            if rollout.finished:
                await store.save(rollout, to_text(plan), version)
                audience.event(rollout.history[-1])
            return rollout
        finally:
            await store.close()

    async def _wait(self, rollout: Rollout, audience: Audience, controls: Controls) -> Rollout:
        while not controls.leave.is_set():
            audience.update(rollout, SEEN)
            if rollout.name in self.ends:
                return ended_as(rollout, Phase.ROLLING_BACK, Reason.GATE_FAILED, WHY, "rolled_back")
            if not controls.requests.empty():
                request = controls.requests.get_nowait()
                return ended_as(rollout, Phase.ROLLING_BACK, Reason.ABORTED, f"{request.by} aborted.", "aborted")
            await asyncio.sleep(0.01)
        return rollout


def ended_as(rollout: Rollout, phase: Phase, reason: Reason, message: str, result: Result) -> Rollout:
    now = rollout.began + 12.5
    number = len(rollout.history) + 1
    why = Event(
        id=f"{rollout.name}/{rollout.attempt}/{number}",
        seq=number,
        at=now,
        t=12.5,
        rollout=rollout.name,
        revision=rollout.revision,
        event="phase",
        phase=phase,
        stage=1,
        weight=0.25,
        reason=reason,
        message=message,
        evidence=EVIDENCE if reason is Reason.GATE_FAILED else {},
    )
    ended = replace(rollout, message=message, result=result, history=(*rollout.history, why), events=number)
    if result == "promoted":
        return replace(ended, phase=Phase.SUCCEEDED)
    return replace(
        ended,
        phase=Phase.ROLLED_BACK,
        peak=Weights(250_000),
        served={"stable": 7801.0, "canary": 412.0},
        harm_began=now - 2,
        decided=now,
        zero=now + 0.021,
    )
