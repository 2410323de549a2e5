"""What happened in the demo, in a few lines. Pure: the acts' ends and the load's counts in, sentences out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from canary import format as fmt
from canary.format import duration
from canary.rollout import Rollout
from canary.serial import rfc3339
from canary.spec.models import CanarySpec
from controlplane.demo.script import ScriptedRollout
from controlplane.sample.load import Stats
from controlplane.view.text import clean


@dataclass(frozen=True, slots=True)
class Counted:
    """What the load saw during one act."""

    sent: int = 0
    answered: int = 0
    failed_by_variant: int = 0
    """Answers of a variant itself that were failures: the broken canary's doing."""
    lost: int = 0
    """Requests that no variant answered: what a shift of traffic must never cause."""
    last_to_canary: float = 0.0
    """When the newest request that the canary answered was sent (seconds since the epoch); 0 for none."""

    @classmethod
    def between(cls, before: Stats, after: Stats) -> "Counted":
        """The difference of two counts."""
        canary = after.variants.get("canary")
        return cls(
            after.sent - before.sent,
            after.answered - before.answered,
            after.failures - before.failures,
            after.lost.total() - before.lost.total(),
            canary.last_sent if canary else 0.0,
        )


@dataclass(frozen=True, slots=True)
class Scene:
    """One act as it went."""

    act: ScriptedRollout
    spec: CanarySpec
    rollout: Rollout
    counted: Counted
    harm_at: float | None = None
    """When the canary was really made sick; None when it was not."""

    @property
    def as_planned(self) -> bool:
        """Whether it ended as it should, with no request lost."""
        return self.rollout.result == self.act.expected and not self.counted.lost


def told(scenes: Sequence[Scene], total: Stats, numbers_from: str) -> Iterator[str]:
    """The story, line by line."""
    for scene in scenes:
        yield from _of_a_healthy_one(scene) if scene.harm_at is None else _of_a_broken_one(scene, scene.harm_at)
    shifts = sum(event.event == "weights" for scene in scenes for event in scene.rollout.history)
    kinds = ", ".join(f"{count} {kind}" for kind, count in total.lost.items())
    lost = f"{total.lost.total()}{kinds and f' ({kinds})'}"
    yield f"Requests: {total.sent:,} sent; {lost} lost by {shifts} changes of weights."
    if total.unsent:
        yield f"{total.unsent:,} more were due while too many others were open, and were not sent."
    yield f"Metrics: {clean(numbers_from)}."


def _of_a_healthy_one(scene: Scene) -> Iterator[str]:
    rollout = scene.rollout
    took = duration(rollout.history[-1].t) if rollout.history else duration(0)
    passed = " → ".join(fmt.share(scene.spec.stages[stage].traffic) for stage in rollout.passed)
    if rollout.result == "promoted":
        yield f"{scene.act.canary}: healthy, {passed}, promoted after {took}."
    else:
        result = rollout.result or "not ended"
        yield f"{scene.act.canary}: healthy, but {result} after {took}: {clean(rollout.message)}"


def _of_a_broken_one(scene: Scene, harm_at: float) -> Iterator[str]:
    rollout, canary = scene.rollout, scene.act.canary
    if rollout.decided is None or rollout.zero is None:
        yield f"{canary}: made sick, and {rollout.result or 'not rolled back'}: {clean(rollout.message)}"
        return
    yield (
        f"{canary}: harm to verdict {fmt.duration(rollout.decided - harm_at)}, "
        f"verdict to no traffic {fmt.duration(rollout.zero - rollout.decided)}."
    )
    late = scene.counted.last_to_canary - rollout.decided
    when = f"{fmt.duration(late)} after" if late > 0 else f"{fmt.duration(-late)} before"
    yield f"  The last request that reached it was sent {when} the verdict."
    yield (
        f"  It failed {scene.counted.failed_by_variant} requests by itself while it had up to "
        f"{fmt.share(rollout.peak.share)} of the traffic."
    )


def keys_of_the_end(counted: Counted, harm_at: float | None) -> dict[str, Any]:
    """What the demo adds to the last event line of an act."""
    load = {
        "sent": counted.sent,
        "answered": counted.answered,
        "failed_by_variant": counted.failed_by_variant,
        "lost": counted.lost,
    }
    return {"load": load} | ({} if harm_at is None else {"harm_injected": rfc3339(harm_at)})
