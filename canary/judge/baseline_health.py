"""Whose trouble is it? Whether stable breaks a limit itself, or is worse than its own history.

Called by `evidence.py`, which then holds a block against nobody or asks another question of it, and by `verdicts.py`,
which says so. Looks at counts of stable alone, never at the canary's, so that no evidence is bent by it.
"""

import math
from collections.abc import Sequence

from canary.judge.noise import NoiseModel

FAST, SLOW, USUAL = 0.7, 0.97, 0.998
"""What remains of recent counts, of those of some minutes, and of stable's usual rate after a block.

Three blocks show an outage. Thirty show failures that are rare, but three times as frequent as usual.
"""
ALARMED = 0.1
"""How fast the usual rate is learnt while stable is worse than usual."""
WORSE = 1.5
"""Clearly worse than usual is more than so many times as bad, and more than chance besides."""
LEARNT = 20
"""Blocks after which stable's usual rate is known well enough to call it degraded."""


Recent = tuple[float, float, float, float]
"""Recent bad events and trials: the canary's, then stable's."""


def recent(
    before: Sequence[float], xc: float, nc: float, xv: float = 0.0, nv: float = 0.0, *, kept: float = FAST
) -> Recent:
    """Recent bad events and trials (canary's, then stable's) with another block counted in."""
    mine, of_mine, stable, of_stable = before
    return kept * mine + xv, kept * of_mine + nv, kept * stable + xc, kept * of_stable + nc


def stable_beyond(fast: Sequence[float], limit: float, noise: NoiseModel) -> bool:
    """Whether stable itself has of late been beyond a limit, and one standard deviation besides."""
    return above(fast[2], fast[3], limit, noise, factor=1.0, sigmas=1.0)


def stable_degraded(
    fast: Sequence[float], lately: Sequence[float], usual: Sequence[float], xc: float, nc: float, noise: NoiseModel
) -> bool:
    """Whether stable is clearly worse than its own history, with a block of `xc` of `nc` counted in."""
    x, n, blocks = usual
    if blocks < LEARNT or n <= 0:
        return False
    if above(FAST * fast[2] + xc, FAST * fast[3] + nc, x / n, noise):
        return True
    return above_for_minutes(SLOW * lately[2] + xc, SLOW * lately[3] + nc, x / n, noise)


def above_for_minutes(x: float, n: float, rate: float, noise: NoiseModel) -> bool:
    """Whether what was counted over some minutes is above `rate`: `WORSE` times, and a standard deviation besides.

    The noise of replicas (`kappa`) is that of single blocks, of which there are as many as `SLOW` keeps.
    """
    spread = NoiseModel(noise.phi * noise.vr, noise.kappa * noise.vr * (1 - SLOW), 1.0)
    return above(x, n, rate, spread, sigmas=1.0)


def above(x: float, n: float, rate: float, noise: NoiseModel, *, factor: float = WORSE, sigmas: float = 3.0) -> bool:
    """Whether `x` of `n` stands clearly above `factor` times `rate`, by so many standard deviations and an event."""
    expected = n * rate
    return n > 0 and x > factor * expected + sigmas * math.sqrt(noise.at(expected) * expected) + 1
