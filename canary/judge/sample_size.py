"""How much longer a WAIT will take: requests until the case for the canary is made, if it goes on as it does.

Expected growth of the likelihood ratio per canary request is a Kullback-Leibler divergence over the noise; what is
still missing, divided by it, is the answer. An estimate for people, never part of a decision. Called by
`verdicts.py`.
"""

from canary.judge import risk_difference_test
from canary.judge.special import kl_bernoulli

MIXTURE = 1.0
"""Nats that mixing over effect sizes costs."""


def requests_for_limit(limit: float, bad: float, n: float, missing: float, noise: float) -> float | None:
    """Canary requests until a share of `bad` among `n` is shown to be below `limit`; None if it is not below it."""
    likely = bad / n if n > 0 and bad > 0 else 0.0
    if bad == 0 and n > 0:
        likely = min(0.1 / n, limit / 30)
    if likely >= limit or limit >= 1:
        return None
    return (missing + MIXTURE) * noise / kl_bernoulli(likely, limit)


def requests_against_stable(rate: float, rho: float, share: float, missing: float, noise: float) -> float | None:
    """Canary requests until one as good as stable is shown to be less than `rho` times as bad.

    `rate` is stable's share of bad events, `share` the canary's share of the traffic.
    """
    if rate <= 0 or not 0 < share < 1 or rho <= 1:
        return None
    at_margin = share * rho / (share * rho + 1 - share)
    growth = rate * kl_bernoulli(share, at_margin) / noise
    return (missing + MIXTURE) * share / growth if growth > 0 else None


def requests_by_points(rate: float, eps: float, share: float, missing: float, noise: float) -> float | None:
    """Canary requests until one as good as stable is shown to be less than `eps` worse; arguments as above."""
    if not 0 < share < 1 or eps <= 0:
        return None
    expected = (share * rate, share, (1 - share) * rate, 1 - share)
    growth = max(risk_difference_test.growths(expected, eps, harmful=False)) / noise
    return (missing + MIXTURE) * share / growth if growth > 0 else None
