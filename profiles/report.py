"""A prediction as JSON (the contract that other tools rely on) and as text for people. Pure formatting, nothing is
computed.
"""

from collections.abc import Iterable
from typing import Any

from profiles.accelerator import GIB
from profiles.cost import Cost
from profiles.interval import Estimate
from profiles.prediction import Prediction


def as_json(prediction: Prediction) -> dict[str, Any]:
    """The object of `serinus profile predict -o json`. Seconds, GiB, dollars; `low` and `high` hold 80 %."""
    latency, memory, deployment = prediction.latency, prediction.memory, prediction.deployment
    return {
        "model": deployment.model.name,
        "quantization": deployment.quantization.name,
        "gpu": deployment.gpu.name,
        "count": deployment.gpus,
        "engine": deployment.engine.family,
        "input_tokens": prediction.workload.input_tokens,
        "output_tokens": prediction.workload.output_tokens,
        "concurrency": prediction.concurrency,
        "ttft_s": bounds(latency.ttft),
        "itl_s": bounds(latency.itl),
        "e2e_s": bounds(latency.e2e),
        "tokens_per_second": bounds(latency.tokens_per_second),
        "requests_per_second": bounds(latency.requests_per_second),
        "memory_gib": {
            "weights": memory.weights / GIB,
            "kv_cache": memory.kv_cache / GIB,
            "activation": memory.activation / GIB,
            "other": memory.other / GIB,
            "needed": memory.needed / GIB,
            "reserved": memory.reserved / GIB,
            "visible": memory.visible / GIB,
            "missing": memory.missing / GIB,
            "per": "GPU",
        },
        "max_concurrency": memory.max_concurrency,
        "kv_tokens": memory.kv_tokens,
        "cost": cost_json(prediction.cost),
        "fits": prediction.fits,
        "shortage": prediction.shortage,
        "basis": prediction.basis,
        "because": list(prediction.because),
        "notes": list(prediction.notes),
    }


def bounds(estimate: Estimate) -> dict[str, float]:
    """`{"value": …, "low": …, "high": …}`."""
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def cost_json(cost: Cost | None) -> dict[str, Any] | None:
    """Money with unit and date; None where nobody knows the price."""
    if cost is None:
        return None
    return {
        "per_request": cost.per_request.value,
        "per_1k_requests": cost.per_1k_requests.value,
        "per_1m_tokens": cost.per_1m_tokens.value,
        "interval": {
            "per_request": bounds(cost.per_request),
            "per_1k_requests": bounds(cost.per_1k_requests),
            "per_1m_tokens": bounds(cost.per_1m_tokens),
        },
        "per_hour": cost.hourly,
        "per_hour_range": [cost.hourly_low, cost.hourly_high],
        "tokens": "output",
        "currency": cost.currency,
        "price_date": cost.price_date,
        "price_source": cost.price_source,
    }


def as_text(prediction: Prediction) -> str:
    """A page for a person."""
    deployment, memory, latency = prediction.deployment, prediction.memory, prediction.latency
    head = (
        f"{deployment.model.name} {deployment.quantization.name} on {deployment.gpus} x {deployment.gpu.name}, "
        f"{prediction.workload.input_tokens:g} tokens in, {prediction.workload.output_tokens:g} out, "
        f"{prediction.concurrency:g} at once"
    )
    lines = [head, ""]
    if prediction.shortage:
        lines += [f"Does not fit: {prediction.shortage}", "What follows would hold if it did.", ""]
    lines.append("Speed                     expected      80 % between")
    lines += [
        row("time to first token", latency.ttft, 1e3, "ms"),
        row("between tokens", latency.itl, 1e3, "ms"),
        row("whole request", latency.e2e, 1.0, "s"),
        row("output tokens a second", latency.tokens_per_second, 1.0, ""),
        f"Most of a request's time: {', '.join(prediction.because)}.",
        "",
        "Memory of each GPU           GiB",
        *(
            f"  {name:<24}{value / GIB:>7.1f}"
            for name, value in (
                ("weights", memory.weights),
                ("KV cache of this load", memory.kv_cache),
                ("activations", memory.activation),
                ("context and graphs", memory.other),
                ("needed", memory.needed),
                ("reserved by the engine", memory.reserved),
            )
        ),
        "Does not fit." if prediction.shortage else f"Fits; {int(memory.max_concurrency)} such requests run at once.",
        "",
        *cost_lines(prediction.cost, deployment.gpu.name),
        "",
        f"Basis: {prediction.basis}." + "".join(f" {note[0].upper()}{note[1:]}." for note in prediction.notes),
    ]
    return "\n".join(lines)


def row(name: str, estimate: Estimate, by: float, unit: str) -> str:
    """One line of the speed table."""
    value, low, high = (
        f"{number * by:.3g}" if number * by < 1000 else f"{number * by:.0f}" for number in numbers(estimate)
    )
    return f"  {name:<22}{value:>8} {unit:<3}{low:>8} - {high} {unit}".rstrip()


def numbers(estimate: Estimate) -> Iterable[float]:
    """Value and bounds in that order."""
    return estimate.value, estimate.low, estimate.high


def cost_lines(cost: Cost | None, gpu: str) -> list[str]:
    """Money, or why there is none."""
    if cost is None:
        return [f"Cost: no price is known for {gpu}; give one with --price DOLLARS_PER_GPU_HOUR."]
    dated = f"price of {cost.price_date}, {cost.price_source}" if cost.price_date else "your price"
    return [
        f"Cost at this load         {cost.currency}  (one replica, ${cost.hourly:.2f} an hour, {dated})",
        money("a request", cost.per_request, 6),
        money("1000 requests", cost.per_1k_requests, 4),
        money("1M output tokens", cost.per_1m_tokens, 3),
    ]


def money(name: str, estimate: Estimate, digits: int) -> str:
    """One line of the cost table."""
    value, low, high = (f"{number:.{digits}f}" for number in numbers(estimate))
    return f"  {name:<22}{value:>12}  {low} - {high}"
