"""How noisy counts really are: clumping, pod noise and their memory, from stable against itself (a live A/A placebo).

Stable's replicas are split in two halves; what share of the bad events falls on the first half says how far real counts
stray from independent ones: `Var(x1 | X) = X θ(1-θ)(φ + κ X)`. With fewer than two replicas, one scrape is held against
the next. `evidence.py` tempers all evidence by what is found here. The noise used for a block comes from blocks before
it. Source: the placebo of the judge's statistics, `docs/judge.md`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from canary.judge.special import Array

Flags = NDArray[np.bool_]

LEVELS = np.array([4.0, 16.0, 64.0, 256.0])
"""Blocks added up before their variance is compared with that of single blocks."""
SUMS = 5
MEMORY = 2
WIDTH = SUMS + MEMORY + 4 * len(LEVELS)
"""Numbers kept for each row: five regression sums, Σz² and its count, and four numbers a level."""
_COUNT, _X, _XX, _U, _UX = range(SUMS)


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed before anything was seen, worth so many blocks."""

    phi: float
    kappa: float
    vr: float
    blocks: float


REPLICAS = Prior(phi=1.5, kappa=0.0, vr=1.0, blocks=20.0)
"""Two or more stable replicas: the placebo will soon know better."""
SINGLE = Prior(phi=3.0, kappa=0.05, vr=1.5, blocks=20.0)
"""One replica: nothing tells pod noise from the canary's, so more is assumed."""
CLEARING = Prior(phi=1.0, kappa=0.0, vr=1.0, blocks=2.0)
"""For a pass: at first requests are taken to be independent, or no short stage could ever end."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Noise of each row: clumping `phi` >= 1, pod noise `kappa` >= 0, long over short run variance `vr` >= 1."""

    phi: Array
    kappa: Array
    vr: Array

    def at(self, scale: Array) -> Array:
        """Variance of a count of expected size `scale`, as a multiple of what independent events would have."""
        return self.phi + self.kappa * scale


def read(sums: Array, *, single: Flags, clearing: bool = False) -> Reading:
    """The noise of every row, from `sums` of shape (rows, WIDTH); `single` marks rows that have one stable replica."""
    vr = np.maximum(1.0, _long_run(sums))
    if clearing:
        phi, kappa = _fit(sums, CLEARING.phi, CLEARING.kappa, CLEARING.blocks)
        return Reading(phi, kappa, vr)
    phi0 = np.where(single, SINGLE.phi, REPLICAS.phi)
    kappa0 = np.where(single, SINGLE.kappa, REPLICAS.kappa)
    phi, kappa = _fit(sums, phi0, kappa0, REPLICAS.blocks)
    return Reading(phi, kappa, np.maximum(vr, np.where(single, SINGLE.vr, REPLICAS.vr)))


def _fit(sums: Array, phi0: Array | float, kappa0: Array | float, blocks: float) -> tuple[Array, Array]:
    """Least squares of u = φ + κX over all blocks and the prior's: half at X = 0, half at twice the mean."""
    half = blocks / 2
    far = 2 * sums[:, _X] / np.maximum(sums[:, _COUNT], 1.0)
    n = sums[:, _COUNT] + blocks
    x = sums[:, _X] + half * far
    xx = sums[:, _XX] + half * far * far
    u_far = phi0 + kappa0 * far
    u = sums[:, _U] + half * (phi0 + u_far)
    ux = sums[:, _UX] + half * far * u_far
    spread = n * xx - x * x
    known = spread > 1e-9 * np.maximum(n * xx, 1e-300)
    slope = np.where(known, (n * ux - x * u) / np.where(known, spread, 1.0), kappa0)
    kappa = np.maximum(slope, 0.0)
    phi = np.where(slope < 0, u / n, (u - kappa * x) / n)
    floored = phi < 1
    steep = np.maximum((ux - x) / np.maximum(xx, 1e-300), 0.0)
    return np.where(floored, 1.0, phi), np.where(floored & (xx > 0), steep, kappa)


def _long_run(sums: Array) -> Array:
    """Variance of sums of 4, 16, 64, 256 blocks over what single blocks foretell, less what chance alone would give."""
    squares, blocks = sums[:, SUMS, None], sums[:, SUMS + 1, None]
    levels = sums[:, SUMS + MEMORY :].reshape(len(sums), 4, len(LEVELS))
    total, groups = levels[:, 2], levels[:, 3]
    usable = (groups >= 4) & (squares > 0)
    expected = np.where(usable, groups * LEVELS * squares / np.maximum(blocks, 1.0), 1.0)
    ratio = np.where(usable, total / expected / (1 + np.sqrt(2 / np.maximum(groups, 1.0))), 1.0)
    longest: Array = ratio.max(axis=1)
    return longest


def learn(sums: Array, x1: Array, n1: Array, x2: Array, n2: Array, single: Flags) -> Array:
    """The sums after one more placebo block: bad events and trials of both halves. Rows without events stay."""
    x = x1 + x2
    n = n1 + n2
    usable = (x > 0) & (n1 > 0) & (n2 > 0)
    safe_x = np.where(usable, x, 1.0)
    theta = np.where(usable, n1 / np.where(n > 0, n, 1.0), 0.5)
    spread = theta * (1 - theta)
    deviation = x1 - safe_x * theta
    u = deviation * deviation / (spread * safe_x)
    now = read(sums, single=single, clearing=True)
    z = deviation / np.sqrt(spread * safe_x * now.at(safe_x))
    after = sums.copy()
    after[:, :SUMS] += usable[:, None] * np.stack([np.ones_like(x), safe_x, safe_x * safe_x, u, u * safe_x], axis=1)
    after[:, SUMS] += usable * z * z
    after[:, SUMS + 1] += usable
    levels = after[:, SUMS + MEMORY :].reshape(len(sums), 4, len(LEVELS))
    partial, count = levels[:, 0] + (usable * z)[:, None], levels[:, 1] + usable[:, None]
    full = count >= LEVELS
    levels[:, 2] += np.where(full, partial * partial, 0.0)
    levels[:, 3] += full
    levels[:, 0] = np.where(full, 0.0, partial)
    levels[:, 1] = np.where(full, 0.0, count)
    return after
