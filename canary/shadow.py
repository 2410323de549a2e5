"""Decides whether a canary has won in the shadow: the net win rate of paired comparisons, day by day.

Called by the machine while Shadowing. A day is won when its net win rate is at least what the plan asks *and* chance
alone would hardly do that: the average of the bets `W log(1+λ) + L log(1-λ)` over a grid of λ is an e-value against
"no better than stable" (research on e-processes: Waudby-Smith and Ramdas, 2024). Collects nothing itself.
"""

from collections.abc import Sequence

from canary.judge.portable_math import log, log1p, log_sum, power
from canary.snapshot import ShadowDay

BETS = tuple(0.005 * power(0.9 / 0.005, i / 23) for i in range(24))


def evidence(day: ShadowDay) -> float:
    """Natural logarithm of the e-value against a net win rate of zero or less; ties say nothing."""
    logs = [day.wins * log1p(bet) + day.losses * log1p(-bet) for bet in BETS]
    return log_sum(logs) - log(len(logs))


def net_win_rate(day: ShadowDay) -> float:
    """(wins - losses) / comparisons; 0 when nothing was compared."""
    compared = day.wins + day.ties + day.losses
    return (day.wins - day.losses) / compared if compared else 0.0


def won(day: ShadowDay, win_rate: float, chance: float) -> bool:
    """Whether this day counts as won, with at most `chance` that luck did it."""
    return net_win_rate(day) >= win_rate and evidence(day) >= log(1 / chance)


def days_won_running(days: Sequence[ShadowDay], win_rate: float, chance: float) -> int:
    """How many of the newest days were won without a break."""
    running = 0
    for day in sorted(days, key=lambda d: d.day, reverse=True):
        if not won(day, win_rate, chance):
            break
        running += 1
    return running
