"""The operator's own page of Prometheus metrics: the rollouts as their status has them, and how well it keeps up.

Used by `health.py`. Names are those of `controlplane.api.metrics`, with the namespace beside the name; what is only the
operator's begins with `canary_operator_`. Counters count since this process began.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from canary.rollout import Phase, Rollout
from canary.verdict import GateAnswer
from controlplane.kubernetes.cache import Cache
from controlplane.observability import families as common
from controlplane.observability.counts import git_operations
from controlplane.operator.counters import OperatorCounters
from controlplane.operator.shape import status_in


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the page is made of."""

    canaries: Cache
    under_way: Sequence[tuple[str, Rollout]]
    """Namespace and state of each rollout in this replica's charge."""
    tally: OperatorCounters
    leading: bool
    queued: int
    events_lost: int
    requests: Mapping[Any, int]
    """Requests to the API server so far, by verb and kind."""
    ready: int = 0
    """Rollouts that a standby could take over at once."""


def exposition(numbers: Numbers) -> bytes:
    """The page in Prometheus' text format."""
    return common.page(_families(numbers))


def _families(numbers: Numbers) -> Iterator[Metric]:
    yield common.build_info()
    # The leader alone tells of the rollouts, or each would be counted once a replica.
    yield from _rollouts(numbers.canaries if numbers.leading else None)
    yield from _gates(numbers.under_way if numbers.leading else ())
    tally = numbers.tally
    yield from common.decisions(tally.transitions, tally.verdicts, tally.rollbacks)
    yield from common.durations(tally.durations)
    yield from common.deliveries(tally.alerts, git_operations)
    yield from _own(numbers)


def _rollouts(canaries: Cache | None) -> Iterator[Metric]:
    """None where another replica tells: then without a single sample."""
    phases: Counter[str] = Counter()
    weight = GaugeMetricFamily(
        "canary_weight_ratio", "Share of traffic asked for.", labels=["namespace", "name", "track"]
    )
    for object_ in canaries.items() if canaries is not None else ():
        meta, status = object_["metadata"], status_in(object_)
        if "phase" not in status:
            continue
        phases[status["phase"]] += 1
        share = float(status.get("state", {}).get("weights", {}).get("canary", 0)) / 1_000_000
        weight.add_metric([meta["namespace"], meta["name"], "canary"], share)
        weight.add_metric([meta["namespace"], meta["name"], "stable"], 1 - share)
    by_phase = GaugeMetricFamily("canary_rollouts", "Rollouts by phase.", labels=["state"])
    for phase in Phase if canaries is not None else ():
        by_phase.add_metric([phase.value], phases[phase.value])
    yield by_phase
    yield weight


def _gates(under_way: Sequence[tuple[str, Rollout]]) -> Iterator[Metric]:
    """What the judge says now: the status repeats it only where an answer changed."""
    labels = ["namespace", "name", "metric"]
    value = GaugeMetricFamily("canary_analysis_value", "A gate's value in its base unit.", labels=[*labels, "track"])
    samples = GaugeMetricFamily(
        "canary_analysis_samples", "Samples behind it: requests, or what a KPI counts.", labels=[*labels, "track"]
    )
    verdict = GaugeMetricFamily(
        "canary_analysis_verdict", "1 for the gate's present answer, else 0.", labels=[*labels, "verdict"]
    )
    for namespace, rollout in under_way:
        for gate in rollout.verdicts:
            place = [namespace, rollout.name, gate.gate]
            for track, number in (("stable", gate.stable), ("canary", gate.canary)):
                if number is not None:
                    value.add_metric([*place, track], number)
            for track, number in gate.samples.items():
                samples.add_metric([*place, track], number)
            for answer in GateAnswer:
                verdict.add_metric([*place, answer.value], float(gate.verdict is answer))
    yield from (value, samples, verdict)


def _own(numbers: Numbers) -> Iterator[Metric]:
    tally = numbers.tally
    gauges = {
        "leading": ("1 while this replica carries out rollouts.", float(numbers.leading)),
        "rollouts_under_way": ("Rollouts in this replica's charge.", len(numbers.under_way)),
        "rollouts_ready": ("Rollouts that this replica keeps ready while another one leads.", numbers.ready),
        "queue_length": ("Rollouts that wait to be looked at.", numbers.queued),
        "tick_slip_seconds": ("By how much the last tick was late.", tally.slip),
        "tick_seconds": ("How long the last reading of the numbers took.", tally.tick_seconds),
    }
    for name, (words, value) in gauges.items():
        yield GaugeMetricFamily(f"canary_operator_{name}", words, value=value)
    counters = {
        "ticks": ("Readings of the numbers that were due.", tally.ticks),
        "ticks_slipped": (
            "Ticks that were late by more than half a period, or came on top of another.",
            tally.ticks_slipped,
        ),
        "passes": ("Looks at a rollout.", tally.passes),
        "bugs": ("Failures that should not be possible; the log has each.", tally.bugs),
        "events_lost": ("Kubernetes Events that were given up.", numbers.events_lost),
    }
    for name, (words, count) in counters.items():
        yield CounterMetricFamily(f"canary_operator_{name}", words, value=count)
    requests = CounterMetricFamily(
        "canary_operator_api_requests", "Requests to the API server.", labels=["verb", "resource"]
    )
    for request, count in sorted(numbers.requests.items(), key=str):
        requests.add_metric([request.verb, request.resource], count)
    yield requests
