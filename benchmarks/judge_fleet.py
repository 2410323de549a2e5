"""The judge's evidence for thousands of simulated rollouts at once, by the judge's arithmetic on arrays.

`judge.py` uses it because two thousand rollouts of 5760 scrapes would take hours one by one. What gates see of a drawn
rollout and when harm may begin is worked out here, for all at once; everything else is `judge_arrays.py`. A test holds
both to `canary.judge` (`tests/benchmarks/test_judge_fleet.py`). Relative gates and KPIs only; all rollouts share
one schedule.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks import judge_arrays as arrays
from benchmarks.judge_columns import Blocks, Columns, Rules
from benchmarks.judge_traffic import BOUNDS, Rollout
from canary.judge import bounds, compile_gates, onset_prior, self_normalised
from canary.judge.config import GateConfig, JudgeConfig
from canary.spec.models import CanarySpec

Array = NDArray[np.float64]
EDGES = [*BOUNDS, math.inf]


@dataclass(frozen=True)
class Counts:
    """What the gates of one rollout see, scrape by scrape: bad events (or sums) and trials of the three groups.

    Groups are the canary and two halves of stable; `bad` has shape (gates, 3, scrapes), `trials` (3, scrapes), `rho`
    and `told` (gates, scrapes); `told` is 0 until a latency gate has picked its bound, `changed` 1 where it moves.
    """

    bad: NDArray[np.float32]
    trials: NDArray[np.float32]
    rho: NDArray[np.float32]
    told: NDArray[np.bool_]
    changed: NDArray[np.bool_]


def counts(spec: CanarySpec, drawn: Rollout) -> Counts:
    """The gates' view of a drawn rollout."""
    cases = compile_gates(spec).tested
    scrapes = len(drawn.t)
    bad = np.zeros((len(cases), 3, scrapes), np.float32)
    rho = np.ones((len(cases), scrapes), np.float32)
    told = np.ones((len(cases), scrapes), bool)
    changed = np.zeros((len(cases), scrapes), bool)
    for i, case in enumerate(cases):
        if case.series == "errors":
            bad[i], rho[i] = drawn.errors, 1 + case.gate.limit
        elif case.series == "kpi":
            bad[i] = drawn.conversions
        else:
            index, rho[i], told[i], changed[i] = _picks(case, drawn)
            for group in range(3):
                slow = drawn.requests[group] - drawn.slow[group, np.arange(scrapes), index]
                bad[i, group] = np.where(told[i], slow, 0)
    return Counts(bad, drawn.requests.astype(np.float32), rho, told, changed)


def _picks(case: GateConfig, drawn: Rollout) -> tuple[NDArray[np.int64], Array, NDArray[np.bool_], NDArray[np.bool_]]:
    """The bound in use at each scrape, the ratio it allows, whether there is one, and where it changes."""
    scrapes = len(drawn.t)
    index, rho = np.zeros(scrapes, np.int64), np.ones(scrapes)
    told, changed = np.zeros(scrapes, bool), np.zeros(scrapes, bool)
    history = (drawn.slow[1] + drawn.slow[2]).cumsum(axis=0)
    pick: bounds.Pick | None = None
    k = 1
    while k < scrapes:
        before, pick = pick, bounds.pick(case, pick, EDGES, history[k - 1].tolist())
        if pick is not None:
            if pick.accuses != pick.clears:
                raise ValueError("these arrays count both arms at one bound; margins that buckets cannot show need two")
            index[k:], rho[k:], told[k:] = pick.accuses, pick.ratio, True
            changed[k] = before is not None and before.accuses != pick.accuses
            if pick.requests >= bounds.FINAL:
                break
        # Nothing changes before stable's history has grown as far as the next pick asks for.
        wanted = bounds.ENOUGH if pick is None else 1.5 * pick.requests
        k = max(k + 1, int(np.searchsorted(history[:, -1], wanted)) + 1)
    return index, rho, told, changed


@dataclass(frozen=True)
class Course:
    """How the evidence of all rollouts went: shape (rollouts, scrapes after first traffic)."""

    t: Array
    total: Array
    """Log of all evidence together."""
    clear: Array
    """Log of the case for the canary: the least of the gates', since its stage began. Shape as `total`."""


def course(spec: CanarySpec, drawn: list[Counts], t: Array, stage: NDArray[np.int64]) -> Course:
    """Weigh all rollouts, scrape by scrape."""
    config = compile_gates(spec)
    e = Columns.fresh(len(drawn) * len(config.tested))
    rules = Rules.of([case.params for case in config.tested if case.params is not None] * len(drawn))
    bad = np.stack([each.bad for each in drawn])
    trials = np.stack([each.trials for each in drawn])
    rho = np.stack([each.rho for each in drawn])
    told = np.stack([each.told for each in drawn])
    changed = np.stack([each.changed for each in drawn])
    live = int(np.searchsorted(t, 0, side="right"))
    total = np.zeros((len(drawn), len(t) - live))
    cleared = np.zeros_like(total)
    begins = _Beginnings(config, len(drawn), float(t[live]))
    for k in range(len(t)):
        block = _block(
            bad[:, :, :, k].astype(float), trials[:, :, k].astype(float), rho[:, :, k], told[:, :, k], config
        )
        other = changed[:, :, k].ravel()
        e.usual[:, other], e.fast[:, other], e.lately[:, other] = 0.0, 0.0, 0.0
        stable = arrays.standing(e, block)
        if k >= live:
            moved = k > live and stage[k] != stage[k - 1]
            if moved or k == live:
                e.clear[:], e.clear_sums[:], e.log_clear[:] = 1.0, 0.0, 0.0
            asked = block.nv > 0
            spend, opens = begins.now(float(t[k]), asked, moved=moved)
            arrays.weigh(e, rules, block, stable, asked, spend, opens)
            total[:, k - live] = _together(e.log_e, config)
            cleared[:, k - live] = e.log_clear.reshape(len(drawn), -1).min(axis=1)
        arrays.learn(e, block, stable)
    return Course(t[live:], total, cleared)


def _block(bad: Array, trials: Array, rho: NDArray[np.float32], told: NDArray[np.bool_], config: JudgeConfig) -> Blocks:
    """One scrape of all rollouts, a row for each gate of each; what `canary.judge.gate_counts` does for one."""
    n = np.where(told[:, :, None], trials[:, None, :], 0.0)
    (xv, x1, x2), (nv, n1, n2) = (each.reshape(-1, 3).T.copy() for each in (bad, n))
    xc, nc = x1 + x2, n1 + n2
    both = np.maximum(nv + nc, 1.0)
    contrast = np.zeros_like(xv)
    for i, case in enumerate(config.tested):
        if case.kind == "sums":
            mine = slice(i, None, len(config.tested))
            sign = 1.0 if case.gate.better == "lower" else -1.0
            allowed = (1 + sign * case.gate.limit) * xc[mine] * nv[mine]
            contrast[mine] = sign * (xv[mine] * nc[mine] - allowed) / both[mine]
    weight, part = nv * nc / both, nv / both
    information = np.minimum(weight, (xv + xc) * part * (1 - part))
    return Blocks(
        xv=xv,
        nv=nv,
        xc=xc,
        nc=nc,
        clear_xv=xv,
        clear_xc=xc,
        rho=rho.ravel().astype(float),
        contrast=contrast,
        weight=weight,
        information=information,
        x1=x1,
        n1=n1,
        x2=x2,
        n2=n2,
        single=np.zeros(len(xv), bool),
    )


class _Beginnings:
    """When harm may have begun, for each gate of each rollout: what `canary.judge.stratum` says of one."""

    def __init__(self, config: JudgeConfig, rollouts: int, first: float) -> None:
        self.planned, self.first, self.spent, self.next_start = config.planned, first, first, first
        self.at_first = np.tile([onset_prior.first(len(case.stages)) for case in config.tested], rollouts)
        self.at_stage = np.tile([onset_prior.later(len(case.stages)) for case in config.tested], rollouts)
        self.started = np.zeros(len(self.at_first), bool)

    def now(self, t: float, asked: NDArray[np.bool_], *, moved: bool) -> tuple[Array, NDArray[np.bool_]]:
        """Weight of harm that begins with this scrape, and where the self-normalised test has a new beginning."""
        due = t >= self.next_start
        if due:
            self.next_start = t + max(self.planned / self_normalised.STARTS, 60.0)
        lately = onset_prior.between(self.spent - self.first, t - self.first, self.planned)
        self.spent = t
        new = asked & ~self.started
        self.started |= new
        spend = np.where(new, self.at_first, lately + self.at_stage * moved)
        return spend, new | moved | due


def _together(log_e: Array, config: JudgeConfig) -> Array:
    """`conviction.total` of each rollout."""
    each = log_e.reshape(-1, len(config.tested)) + np.log([case.weight for case in config.tested])
    together: Array = np.logaddexp.reduce(each, axis=1)
    return together
