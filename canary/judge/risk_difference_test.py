"""What one block says about a difference of two shares: is the canary's more than stable's plus so many points?

For margins in points (`error_rate not worse than stable by 1pp`), where a ratio would mean nothing once stable has no
errors at all. Called by `evidence.py`; keeps nothing. Each function takes `eps`, the margin as a share, and the bad
events and trials of canary (v) and stable (c).
"""

from canary.judge.portable_math import log1p, power
from canary.judge.share_test import Grid, Wealth, grown, staked

STAKES = tuple(0.9 * power(0.01 / 0.9, i / 7) for i in range(8))
"""Parts of the largest stake that the likelihood's bettors risk, from 0.9 down to 0.01."""


def bet(
    wealth: Wealth,
    counts: tuple[float, float, float, float],
    eps: float,
    usual: float,
    noise: float,
    vr: float,
    on: Grid,
) -> Wealth:
    """Wealth after betting on `x_v/n_v - x_c/n_c - eps`, whose mean is at most 0 within the margin.

    Valid however events clump within the block, since it uses nothing but that mean. `usual` is the share of bad events
    expected, `on` has the excesses bet on as multiples of the margin; both, and `noise`, only size the stake.
    """
    xv, nv, xc, nc = counts
    surprise = xv / nv - xc / nc - eps
    variance = max(usual * (1 - usual), 1e-6) * (1 / nv + 1 / nc) * noise
    most = 0.9 / (1 + eps)
    factors = []
    for more, _ in on:
        excess = eps * more
        factors.append(1 + min(excess / (variance + excess * excess), most) * surprise)
    return staked(wealth, factors, vr)


def likelihood(
    wealth: Wealth, counts: tuple[float, float, float, float], eps: float, noise: float, *, harmful: bool
) -> Wealth:
    """Wealth after betting on every single request; against the canary if `harmful`, for it if not.

    Exact for independent requests whatever the common rate does; `noise` tempers it for others.
    """
    return grown(wealth, [growth / noise for growth in growths(counts, eps, harmful=harmful)])


def growths(counts: tuple[float, float, float, float], eps: float, *, harmful: bool) -> list[float]:
    """Log growth of each stake: the sum over requests of `log(1 + λ payoff)`.

    With a share π of the traffic on the canary, a bad event there pays `1/π - eps`, one on stable `-1/(1-π) - eps`, and
    every other request `-eps`: on average `p_v - p_c - eps` (statistics as in `docs/judge.md`). Turned round for the
    other side. No stake can lose everything.
    """
    xv, nv, xc, nc = counts
    share = nv / (nv + nc)
    pay_v, pay_c, rest = 1 / share - eps, -1 / (1 - share) - eps, -eps
    if not harmful:
        pay_v, pay_c, rest = -pay_v, -pay_c, -rest
    largest = 1 / -min(pay_v, pay_c, rest)
    good = nv + nc - xv - xc
    return [
        xv * log1p(stake * largest * pay_v) + xc * log1p(stake * largest * pay_c) + good * log1p(stake * largest * rest)
        for stake in STAKES
    ]


def usable(counts: tuple[float, float, float, float]) -> bool:
    """Whether both arms have trials, and no more bad events than trials."""
    xv, nv, xc, nc = counts
    return nv > 0 and nc > 0 and xv <= nv and xc <= nc and nv / (nv + nc) > 1e-9 and nc / (nv + nc) > 1e-9
