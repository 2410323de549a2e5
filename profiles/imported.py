"""Results of other tools as measured profiles, so that a run that was made anyway calibrates predictions.

Understands the JSON that `vllm bench serve --save-result` writes. Bounds of a mean come from its standard deviation;
what the file does not tell stays None.
"""

import math
from collections.abc import Mapping
from typing import Any

from profiles.errors import Malformed
from profiles.interval import Estimate
from profiles.measured import Level, Measured

Z_OF_80 = 1.2816
"""Standard normal quantile that leaves 10 % on either side."""


def is_vllm_bench(raw: Mapping[str, Any]) -> bool:
    """Whether this object looks like a result of `vllm bench serve`."""
    return {"mean_ttft_ms", "output_throughput", "completed", "duration"} <= set(raw)


def read_vllm_bench(raw: Mapping[str, Any], origin: str) -> Measured:
    """One result as a profile of one level: closed loop with `max_concurrency`, else open loop at its request rate."""
    try:
        completed, seconds = int(raw["completed"]), float(raw["duration"])
        if completed < 1 or seconds <= 0:
            raise Malformed(f"{origin}: the run has no complete request")
        callers = raw.get("max_concurrency")
        rate = float(raw.get("request_rate") or math.inf)
        if not callers and math.isinf(rate):
            raise Malformed(f"{origin}: sent everything at once; run it with --max-concurrency or --request-rate")
        speed = float(raw["output_throughput"])
        level = Level(
            loop="closed" if callers else "open",
            load=float(callers or rate),
            input_tokens=float(raw["total_input_tokens"]) / completed,
            output_tokens=float(raw["total_output_tokens"]) / completed,
            seconds=seconds,
            completed=completed,
            ttft=mean(raw, "ttft", completed),
            itl=mean(raw, "tpot", completed),
            e2e=mean(raw, "e2el", completed),
            tokens_per_second=Estimate(speed, speed, speed),
            requests_per_second=float(raw["request_throughput"]),
            notes=(f"imported from {origin} (vllm bench serve)",),
        )
    except (KeyError, TypeError, ValueError) as wrong:
        raise Malformed(f"{origin} is not a result of vllm bench serve: {wrong}") from None
    return Measured(url=origin, at=str(raw.get("date", "")), levels=(level,), served_model=str(raw.get("model_id", "")))


def mean(raw: Mapping[str, Any], name: str, count: int) -> Estimate | None:
    """A mean in seconds with its 80 % bounds; None when the file does not have it."""
    value = raw.get(f"mean_{name}_ms")
    if value is None or float(value) <= 0:
        return None
    half = Z_OF_80 * float(raw.get(f"std_{name}_ms") or 0.0) / math.sqrt(count)
    low, high = float(value) - half, float(value) + half
    return Estimate(float(value) / 1e3, max(low, 0.0) / 1e3, high / 1e3)
