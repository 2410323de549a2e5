"""What one block says about a share: two e-values, a bet and a tempered likelihood ratio.

One formula serves both kinds of gate, because both ask whether `s` of `trials` is more than a share `null` allows:

* against stable: of the bad events of both arms, which share fell on the canary? `null = n_v ρ0 / (n_v ρ0 + n_c)`;
* against a limit: of the canary's requests, which share was bad? `null` is the limit itself.

With `s` and `null` turned round (`trials - s`, `1 - null`) the same formula clears instead of accusing. Called by
`evidence.py`; keeps nothing. Sources and proofs: `docs/judge.md`.
"""

import math

import numpy as np

from canary.judge.special import Array

CAP = math.log(10.0)
"""No scrape may multiply evidence by more than ten."""
GRID = 8
TINY = 1e-12


def increments(s: Array, trials: Array, null: Array, noise: Array, vr: Array, grid: Array) -> tuple[Array, Array]:
    """Growth of log wealth of the bet and of the likelihood ratio; arrays of shape (rows, GRID).

    `s`, `trials`, `null`, `noise` (variance over that of independent events) and `vr` have shape (rows,); `grid` are
    the logarithms of the odds ratios that are bet on. Rows without trials, or where the null leaves no room, get zeros.
    The bet is valid however events clump within a block: only its size depends on `noise`. The likelihood ratio is
    exact for independent events and tempered by `noise` for others.
    """
    usable = (trials > 0) & (null > TINY) & (null < 1 - TINY)
    total = np.where(usable, trials, 1.0)[:, None]
    share0 = np.where(usable, null, 0.5)[:, None]
    tempered = (noise * vr)[:, None]
    hits = np.where(usable, s, 0.0)[:, None]

    odds = share0 / (1 - share0) * np.exp(grid)
    distance = odds / (1 + odds) - share0
    effective = total / noise[:, None]
    variance = share0 * (1 - share0) / effective + np.maximum(1 - 1 / effective, 0.0) * distance * distance
    stake = np.minimum(distance / variance, 0.9 / share0)
    bet = np.log1p(stake * (hits / total - share0)) / vr[:, None]

    ratio = (hits * grid - total * np.log((1 + odds) * (1 - share0))) / tempered
    live = usable[:, None]
    return np.where(live, np.minimum(bet, CAP), 0.0), np.where(live, np.minimum(ratio, CAP), 0.0)
