"""How noisy counts really are: clumping, pod noise and their memory, from stable against itself (a live A/A placebo).

Stable's replicas are split in two halves; what share of the bad events falls on the first half says how far real
counts stray from independent ones: `Var(x1 | X) = X θ(1-θ)(φ + κ X)`. With fewer than two replicas, one scrape is
held against the next. `evidence.py` tempers all evidence by what is found here. The noise used for a block comes from
blocks before it. Derivation and source: `docs/judge.md`.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

TINY = 1e-9
"""Less variance than this is no variance."""
SURPRISE = 9.0
"""A block teaches at most so many times the variance that those before it foretold (three standard deviations).

An outage that begins or ends is no noise: learnt as it stands, one of ten seconds would blunt the judge for minutes.
Noise that is really so high shows in block after block, and each raises what the next may teach.
"""
LEVELS = (4, 16, 64, 256)
"""Blocks added up before their variance is compared with that of single blocks."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed before anything was seen, worth so many blocks."""

    phi: float
    kappa: float
    vr: float
    blocks: float
    excess: float = 1.0
    """Factor on the part of the long-run variance above 1, which is always estimated from few groups."""


REPLICAS = Prior(phi=1.5, kappa=0.0, vr=1.0, blocks=20.0)
"""Two or more stable replicas: the placebo will soon know better."""
SINGLE = Prior(phi=3.0, kappa=0.05, vr=1.5, blocks=20.0)
"""One replica: nothing tells pod noise from the canary's, so more is assumed."""
CLEARING = Prior(phi=1.0, kappa=0.0, vr=1.0, blocks=2.0, excess=1.5)
"""For a pass: at first requests are taken to be independent, or no short stage could ever end.

What is then seen to last over blocks counts half as much again: there are no margins here that would make up for it.
"""


class NoiseModel(NamedTuple):
    """Clumping `phi` >= 1, pod noise `kappa` >= 0, and long-run over short-run variance `vr` >= 1."""

    phi: float
    kappa: float
    vr: float

    def at(self, size: float) -> float:
        """Variance of a count of expected size `size`, as a multiple of what independent events would have."""
        return self.phi + self.kappa * size


@dataclass(frozen=True, slots=True)
class AATest:
    """Running sums over blocks of stable against itself: what is needed to fit the noise, and nothing that grows."""

    blocks: float = 0.0
    x: float = 0.0
    """Sum of X, the bad events of a block."""
    xx: float = 0.0
    """Sum of X²."""
    u: float = 0.0
    """Sum of u = (x1 - Xθ)² / (X θ(1-θ)), whose mean is φ + κX."""
    ux: float = 0.0
    """Sum of uX."""
    squares: float = 0.0
    """Sum of z², z being the standardised deviation."""
    partial: tuple[float, ...] = (0.0,) * len(LEVELS)
    """At each level the sum of z in the groups of the level below that are full and not yet taken in here."""
    grouped: tuple[float, ...] = (0.0,) * len(LEVELS)
    """At each level the sum of squared group sums."""
    groups: tuple[float, ...] = (0.0,) * len(LEVELS)
    """At each level the number of full groups."""
    vr: float = 1.0
    """Variance of sums of many blocks over what single blocks foretell, less what chance alone would give."""

    def noise(self, prior: Prior) -> NoiseModel:
        """The noise as far as it is known."""
        phi, kappa = self._fit(prior)
        return NoiseModel(phi, kappa, max(prior.vr, 1 + prior.excess * (self.vr - 1)))

    def lasting(self, noise: NoiseModel) -> float:
        """Variance of sums of many blocks over what `noise` says of single ones: by this evidence is tempered.

        `vr` compares sums with single blocks as these are. Where single blocks are calmer than independent events would
        be, sums are by as much: of requests half are slower than p50, and their number strays half as far as that of
        rare ones, for which alone `phi` >= 1 is right.
        """
        calm = (self.squares + REPLICAS.blocks) / (self.blocks + REPLICAS.blocks)
        return max(noise.vr * min(calm, 1.0), 1.0)

    def _fit(self, prior: Prior) -> tuple[float, float]:
        """Least squares of u = φ + κX over all blocks and the prior's: half at X = 0, half at twice the mean X."""
        half = prior.blocks / 2
        far = 2 * self.x / self.blocks if self.blocks else 0.0
        u_far = prior.phi + prior.kappa * far
        n = self.blocks + prior.blocks
        x = self.x + half * far
        xx = self.xx + half * far * far
        u = self.u + half * (prior.phi + u_far)
        ux = self.ux + half * far * u_far
        spread = n * xx - x * x
        if spread <= 1e-9 * n * xx:
            return max(u / n, 1.0), prior.kappa
        kappa = (n * ux - x * u) / spread
        if kappa < 0:
            return max(u / n, 1.0), 0.0
        phi = (u - kappa * x) / n
        if phi < 1:
            return 1.0, max((ux - x) / xx, 0.0)
        return phi, kappa

    def plus(self, x1: float, n1: float, x2: float, n2: float, quiet: NoiseModel | None = None) -> "AATest":
        """With one more block: bad events and trials of both halves. A block without events teaches nothing.

        `quiet` is `noise(CLEARING)`, for whoever has asked already.
        """
        x = x1 + x2
        if x <= 0 or n1 <= 0 or n2 <= 0:
            return self
        theta = n1 / (n1 + n2)
        spread = theta * (1 - theta)
        if spread * x < TINY:
            return self
        deviation = x1 - x * theta
        phi, kappa = quiet[:2] if quiet is not None else self._fit(CLEARING)
        expected = phi + kappa * x
        # The first blocks can no more than double what is believed.
        credible = min(SURPRISE, self.blocks + CLEARING.blocks + 2)
        u = min(deviation * deviation / (spread * x), credible * expected)
        z = math.copysign(math.sqrt(u / expected), deviation)
        blocks, squares = self.blocks + 1, self.squares + z * z
        levels = (self.partial[0] + z, *self.partial[1:]), self.grouped, self.groups, self.vr
        if blocks % LEVELS[0] == 0:
            levels = _close_groups(blocks, squares, *levels[:3])
        return AATest(blocks, self.x + x, self.xx + x * x, self.u + u, self.ux + u * x, squares, *levels)


_Levels = tuple[float, ...]


def _close_groups(
    blocks: float, squares: float, partial: _Levels, grouped: _Levels, groups: _Levels
) -> tuple[_Levels, _Levels, _Levels, float]:
    """Take in the groups that are full and compare their variance with that of single blocks."""
    open_, summed, full, vr = list(partial), list(grouped), list(groups), 1.0
    for i, level in enumerate(LEVELS):
        if blocks % level == 0:
            total, open_[i] = open_[i], 0.0
            summed[i] += total * total
            full[i] += 1
            if i + 1 < len(LEVELS):
                open_[i + 1] += total
        if full[i] >= 4 and squares > 0:
            expected = full[i] * level * squares / blocks
            vr = max(vr, summed[i] / expected / (1 + math.sqrt(2 / full[i])))
    return tuple(open_), tuple(summed), tuple(full), vr
