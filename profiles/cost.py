"""What serving costs at a given speed: per request, per thousand, per million output tokens, with the price's date.

The price is for a whole replica working at the predicted rate; idle hours cost the same and answer nobody, so real
bills are this divided by utilisation. Called by `profiles.prediction`.
"""

from dataclasses import dataclass

from profiles.deployment import Deployment
from profiles.interval import Estimate


@dataclass(frozen=True, slots=True)
class Cost:
    """Money at the predicted load. Bounds come from the speed's interval alone; `hourly_low` and `hourly_high` are
    the market's range.
    """

    per_request: Estimate
    per_1k_requests: Estimate
    per_1m_tokens: Estimate
    """Per million output tokens."""
    hourly: float
    """Dollars an hour for the replica (all its GPUs)."""
    hourly_low: float
    hourly_high: float
    currency: str
    price_date: str
    price_source: str


def cost(
    deployment: Deployment, requests_per_second: Estimate, output_tokens: float, price: float | None = None
) -> Cost | None:
    """Cost of one replica that answers so many requests a second; None where nobody knows the GPU's price.

    `price` is the user's own, in dollars a GPU-hour, and wins over the catalogue's.
    """
    known = deployment.gpu.price
    if price is None and known is None:
        return None
    typical = price if price is not None else known.typical if known else 0.0
    low, high = (price, price) if price is not None or known is None else (known.low, known.high)
    second = typical * deployment.gpus / 3600
    request = Estimate(
        second / requests_per_second.value, second / requests_per_second.high, second / requests_per_second.low
    )
    return Cost(
        per_request=request,
        per_1k_requests=scaled(request, 1e3),
        per_1m_tokens=scaled(request, 1e6 / max(output_tokens, 1.0)),
        hourly=typical * deployment.gpus,
        hourly_low=(low or 0.0) * deployment.gpus,
        hourly_high=(high or 0.0) * deployment.gpus,
        currency=known.currency if known else "USD",
        price_date=known.as_of if price is None and known else "",
        price_source=known.source if price is None and known else "yours",
    )


def scaled(estimate: Estimate, by: float) -> Estimate:
    """All three numbers times the same."""
    return Estimate(estimate.value * by, estimate.low * by, estimate.high * by)
