"""Lines of blocks for `serinus judge`: JSON to `Increments`, and every fault with its line and field.

The contract stands in `docs/contracts.md`, section 2. What is missing or null is no data; what cannot be true (negative
increments, buckets that are not cumulative, time running backwards) is refused, never judged. Called by
`controlplane.cli.judge`.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from canary.errors import BadInput
from canary.judge import Increments, ReplicaIncrements
from canary.spec import metrics
from canary.spec.models import CanarySpec
from canary.spec.units import UnreadableNumber
from canary.weights import ARMS, Arm

HISTOGRAMS = tuple(metric.name for metric in metrics.BUILT_IN.values() if metric.kind == "histogram")
KNOWN = frozenset({"requests", "errors", "kpi", "totals", "gauges", *HISTOGRAMS})


class BlockLines:
    """Reads lines in order; knows what came before, since time and bounds must stay in step."""

    def __init__(self, spec: CanarySpec) -> None:
        self._stages = len(spec.stages)
        self._last = max((i for i, stage in enumerate(spec.stages) if stage.gates), default=self._stages - 1)
        self._counters = {
            gate.text: gate.metric.removeprefix("kpi/") for stage in spec.stages for gate in stage.gates if gate.events
        }
        """KPIs whose counters the plan names: here they are written as if replicas had counted them."""
        self._time = -math.inf
        self._bounds: dict[str, tuple[float, ...]] = {}
        self._line = 0

    def read(self, number: int, text: bytes) -> Increments:
        """The block of a line; raises `BadInput` naming line and field."""
        self._line = number
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._bad("", f"is not JSON: {error}") from None
        if not isinstance(data, dict):
            raise self._bad("", f"must be an object, not {_kind(data)}")
        t = self._number(data.get("t"), "t")
        if t is None:
            raise self._bad("t", "is missing: the end of the block in seconds")
        if t < self._time:
            raise self._bad("t", f"runs backwards: {t:g} after {self._time:g}")
        self._time = t
        readings = self._object(data.get("readings"), "readings")
        arms = self._arms(data.get("arms"), "arms")
        return Increments(
            t=t,
            stage=self._stage(data.get("stage"), t),
            weight=self._weight(data.get("weight"), t),
            arms=arms,
            readings={
                gate: self._named_numbers(values, f"readings.{gate}", lowest=-math.inf)
                for gate, values in readings.items()
            },
            segments={
                label: {
                    value: self._arms(arms, f"segments.{label}.{value}")
                    for value, arms in self._object(values, f"segments.{label}").items()
                }
                for label, values in self._object(data.get("segments"), "segments").items()
            },
            counted={text: found for text, name in self._counters.items() if (found := _of_pods(arms, name))},
        )

    def _stage(self, value: Any, t: float) -> int:
        """Index of the stage; blocks beyond the last stage of the file are judged by the last one that has gates."""
        number = self._number(value, "stage")
        if number is None:
            if t < 0:
                return 0
            raise self._bad("stage", "is missing: the index of the stage, from 0")
        if number < 0 or number != int(number):
            raise self._bad("stage", f"must be a whole number from 0, got {value!r}")
        return int(number) if number < self._stages else self._last

    def _weight(self, value: Any, t: float) -> float:
        """The canary's share in force."""
        share = self._number(value, "weight")
        if share is None:
            if t < 0:
                return 0.0
            raise self._bad("weight", "is missing: the canary's share of the traffic, from 0 to 1")
        if not 0 <= share <= 1:
            raise self._bad("weight", f"must lie between 0 and 1, got {share:g}")
        return share

    def _arms(self, value: Any, within: str) -> dict[Arm, dict[str, ReplicaIncrements]]:
        """Both arms; one that is missing has no data."""
        given = self._object(value, within)
        for name in given:
            if name not in ARMS:
                raise self._bad(f"{within}.{name}", "is unknown: there are canary and stable")
        arms: dict[Arm, dict[str, ReplicaIncrements]] = {}
        for arm in ARMS:
            path = f"{within}.{arm}.pods"
            pods = self._object(self._object(given.get(arm), f"{within}.{arm}").get("pods"), path)
            read = {name: self._pod(pod, f"{path}.{name}") for name, pod in pods.items() if pod is not None}
            if read:
                arms[arm] = read
        return arms

    def _pod(self, value: Any, path: str) -> ReplicaIncrements:
        """One replica's increments."""
        pod = self._object(value, path)
        unknown = sorted(set(pod) - KNOWN)
        if unknown:
            raise self._bad(f"{path}.{unknown[0]}", f"is unknown: there are {', '.join(sorted(KNOWN))}")
        requests = self._count(pod.get("requests"), f"{path}.requests")
        errors = self._count(pod.get("errors"), f"{path}.errors")
        if requests is not None and errors is not None and errors > requests:
            raise self._bad(f"{path}.errors", f"{errors:g} errors in {requests:g} requests: more than there were")
        histograms = {}
        for name in HISTOGRAMS:
            if pod.get(name) is not None:
                histograms[name] = self._histogram(pod[name], f"{path}.{name}", name)
        kpis = {}
        for name, counts in self._object(pod.get("kpi"), f"{path}.kpi").items():
            if counts is not None:
                both = self._kpi(counts, f"{path}.kpi.{name}", name)
                if both is not None:
                    kpis[name] = both
        return ReplicaIncrements(
            requests=requests,
            errors=errors,
            histograms=histograms,
            totals=self._named_numbers(pod.get("totals"), f"{path}.totals", lowest=0.0),
            kpis=kpis,
            gauges=self._named_numbers(pod.get("gauges"), f"{path}.gauges", lowest=-math.inf),
        )

    def _histogram(self, value: Any, path: str, name: str) -> dict[float, float]:
        """Cumulative counts by upper bound, in rising order; all replicas and blocks have the same bounds."""
        counts: dict[float, float] = {}
        for label, count in self._object(value, path).items():
            try:
                bound = float(label)
            except ValueError:
                bound = math.nan
            if math.isnan(bound) or bound in counts:
                raise self._bad(f"{path}.{label}", "is no upper bound: a number of seconds, or +Inf, each once")
            number = self._count(count, f"{path}.{label}")
            if number is None:
                raise self._bad(f"{path}.{label}", "has no count; leave out the whole histogram where there is no data")
            counts[bound] = number
        if math.inf not in counts:
            raise self._bad(path, "has no +Inf bucket, so its total is unknown")
        bounds = tuple(sorted(counts))
        known = self._bounds.setdefault(name, bounds)
        if bounds != known:
            expected = ", ".join(f"{bound:g}" for bound in known)
            raise self._bad(path, f"has other bounds than before: expected {expected}")
        before = 0.0
        for bound in bounds:
            if counts[bound] < before:
                problem = f"is not cumulative: {counts[bound]:g} requests up to {bound:g} s after {before:g} up to less"
                raise self._bad(path, problem)
            before = counts[bound]
        return {bound: counts[bound] for bound in bounds}

    def _kpi(self, value: Any, path: str, name: str) -> tuple[float, float] | None:
        """Events (or a sum) and their denominator; None where either is missing."""
        counts = self._object(value, path)
        of = self._count(counts.get("of"), f"{path}.of")
        lowest = 0.0 if _is_share(name) else -math.inf
        events = self._number(counts.get("events"), f"{path}.events", lowest=lowest)
        if events is None or of is None:
            return None
        if _is_share(name) and events > of:
            raise self._bad(f"{path}.events", f"{events:g} events among {of:g}: more than there were")
        return events, of

    def _named_numbers(self, value: Any, path: str, *, lowest: float) -> dict[Any, float]:
        """Numbers by name, without those that are null."""
        given = {
            name: self._number(each, f"{path}.{name}", lowest=lowest)
            for name, each in self._object(value, path).items()
        }
        return {name: number for name, number in given.items() if number is not None}

    def _object(self, value: Any, path: str) -> Mapping[str, Any]:
        """A mapping; null and missing are empty."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self._bad(path, f"must be an object, not {_kind(value)}")
        return value

    def _count(self, value: Any, path: str) -> float | None:
        """An increment, which is never negative."""
        return self._number(value, path, lowest=0.0)

    def _number(self, value: Any, path: str, lowest: float = -math.inf) -> float | None:
        """A finite number not below `lowest`; None where it is null."""
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._bad(path, f"must be a number, not {_kind(value)}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self._bad(path, "must be finite; leave it out, or write null, where there is no data")
        if number < lowest:
            raise self._bad(path, f"is {number:g}, but an increment is never negative")
        return number

    def _bad(self, path: str, problem: str) -> BadInput:
        """The fault in a sentence."""
        field = f"{path}: " if path else ""
        return BadInput(f"standard input, line {self._line}: {field}{problem}. Nothing after this line was judged.")


def _of_pods(arms: Mapping[Arm, Mapping[str, ReplicaIncrements]], kpi: str) -> dict[Arm, tuple[float, float]]:
    """A KPI's increments by arm."""
    told = {arm: [pod.kpis[kpi] for pod in pods.values() if kpi in pod.kpis] for arm, pods in arms.items()}
    return {
        arm: (math.fsum(events for events, _ in each), math.fsum(of for _, of in each))
        for arm, each in told.items()
        if each
    }


def _is_share(kpi: str) -> bool:
    """Whether a KPI counts events among trials, as far as its name tells."""
    for name in (f"kpi/{kpi}", kpi):
        try:
            if metrics.find(name).unit == "share":
                return True
        except UnreadableNumber:
            continue
    return False


def _kind(value: Any) -> str:
    """What JSON calls it."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
