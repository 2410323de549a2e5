"""The study's arithmetic on arrays is the judge's: each number, after any blocks, for any rule."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import judge_arrays as arrays
from benchmarks.judge_columns import Blocks, Columns, Rules
from canary.judge import compile_gates
from canary.judge.e_process import EProcess, EProcessParams, EvidenceRequest, GateCounts, update
from tests.canary.judge.worlds import EVERY_KIND, IN_POINTS, plan

PLAN = plan(*EVERY_KIND, IN_POINTS, refusals=False)
RULES: Sequence[EProcessParams] = [
    replace(gate.params, union=False) for gate in compile_gates(PLAN).tested if gate.params is not None
]
"""Limits as where they stand regardless of stable."""


class Both:
    """The same gates by the judge and by the study's arrays."""

    def __init__(self, rules: Sequence[EProcessParams]) -> None:
        self.rules, self.one_by_one = rules, [EProcess() for _ in rules]
        self.together, self.rules_together = Columns.fresh(len(rules)), Rules.of(rules)

    def begin_stage(self) -> None:
        self.one_by_one = [e.beginning_stage() for e in self.one_by_one]
        self.together.clear[:], self.together.clear_sums[:], self.together.log_clear[:] = 1.0, 0.0, 0.0

    def forget_what_is_usual(self) -> None:
        self.one_by_one = [replace(e, baseline=e.baseline.forgetting()) for e in self.one_by_one]
        self.together.usual[:], self.together.fast[:], self.together.lately[:] = 0.0, 0.0, 0.0

    def take(self, blocks: Sequence[GateCounts], *, asked: bool, spend: float, opens: bool) -> None:
        """One block for each gate."""
        question = EvidenceRequest(0.0, spend, opens) if asked else None
        self.one_by_one = [
            update(e, params, block, question)
            for e, params, block in zip(self.one_by_one, self.rules, blocks, strict=True)
        ]
        fields = [name for name in GateCounts._fields if name not in {"worse", "clear_rho"}]
        told = np.array([[getattr(block, name) for name in fields] for block in blocks], float)
        columns = dict(zip(fields, told.T.copy(), strict=True))
        several = Blocks(single=columns.pop("single") > 0, **columns)
        every = np.full(len(self.rules), fill_value=asked)
        with np.errstate(divide="raise", over="raise", invalid="raise"):
            usual = arrays.standing(self.together, several)
            spent, opened = np.full(len(every), spend), np.full(len(every), fill_value=opens)
            arrays.weigh(self.together, self.rules_together, several, usual, every, spent, opened)
            arrays.learn(self.together, several, usual)
        self.compare()

    def compare(self) -> None:
        """Each number to the ninth digit; of sums nobody bets."""
        for number, (e, params) in enumerate(zip(self.one_by_one, self.rules, strict=True)):
            against, stable, aa_test = e.against, e.baseline, e.baseline.aa_test
            pairs = {
                **{name: getattr(against, name) for name in ("unspent", "slow_test", "scale", "taught", "pool")},
                **({"bet": against.bet, "ratio": against.ratio} if params.counts else {}),
                "log_e": e.log_e,
                "log_clear": e.passing.log_e,
                "clear": e.passing.clear,
                "clear_sums": e.passing.sums,
                "fast": stable.recent,
                "lately": stable.lately,
                "usual": stable.usual,
                "z_squares": aa_test.squares,
                **{name: getattr(aa_test, name) for name in ("blocks", "x", "xx", "u", "ux", "vr")},
                **{name: getattr(aa_test, name) for name in ("partial", "grouped", "groups")},
            }
            for name, mine in pairs.items():
                _same(mine, getattr(self.together, name)[..., number])
            starts = len(against.totals)
            assert starts == self.together.starts[number]
            for name in ("totals", "squares"):
                _same(getattr(against, name), getattr(self.together, name)[:starts, number])


def _same(one: Any, other: Any) -> None:
    assert other == pytest.approx(one, rel=1e-9, abs=1e-12)


counts = st.one_of(st.just(0.0), st.integers(0, 40).map(float), st.integers(0, 100_000).map(float))
blocks = st.tuples(
    st.tuples(*[counts] * 6),
    st.floats(-1e4, 1e4),
    st.floats(0, 1e4),
    st.floats(1, 5),
    st.booleans(),
    st.integers(0, 20).map(float),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(blocks, min_size=1, max_size=30))
def test_many_gates_together_come_to_what_the_judge_makes_of_each(told: list[Any]) -> None:
    """Any counts, no canary or no stable, one replica or two, stages that begin, bounds that change, new beginnings."""
    both = Both(RULES)
    for k, ((x_v, more_v, x1, more_1, x2, more_2), contrast, weight, rho, single, happens) in enumerate(told):
        n_v, n1, n2 = x_v + more_v, x1 + more_1, x2 + more_2
        x_c, n_c = (x2, n2) if single else (x1 + x2, n1 + n2)
        clear = min(x_v + happens, n_v), min(x_c + happens, n_c)
        block = GateCounts(x_v, n_v, x_c, n_c, *clear, rho, contrast, weight, min(weight, happens))
        block = block._replace(x1=x1, n1=n1, x2=x2, n2=n2, single=single)
        if happens == 1:
            both.begin_stage()
        if happens == 2:
            both.forget_what_is_usual()
        spend = 0.5 if k == 0 else 0.05 * (happens > 15)
        both.take([block] * len(RULES), asked=happens != 3, spend=spend, opens=happens % 4 == 0)


@pytest.mark.parametrize("harm", [1.0, 3.0, 30.0])
def test_whole_rollouts_come_to_the_same_evidence_however_long_they_last(harm: float) -> None:
    """Twelve gates of six kinds over 220 blocks, healthy and harmed; some answers come long after stable degraded."""
    rng, both = np.random.default_rng(5), Both([*RULES, *RULES])
    for k in range(-20, 200):
        n_v, n1, n2 = rng.poisson([300 * (k >= 0), 500, 400]).tolist()
        rate = 0.02 * (4.0 if 100 < k < 120 else 1.0)
        x_v, x1, x2 = rng.binomial([n_v, n1, n2], [min(rate * harm ** (k > 60), 0.9), rate, rate]).tolist()
        contrast, weight = x_v - n_v * rate, n_v * (n1 + n2) / max(n_v + n1 + n2, 1)
        seen = []
        for single in (False, True):
            x_c, n_c = (x2, n2) if single else (x1 + x2, n1 + n2)
            seen += [
                GateCounts(
                    x_v,
                    n_v,
                    x_c,
                    n_c,
                    x_v,
                    x_c,
                    1.1,
                    contrast,
                    weight,
                    weight * 0.02,
                    (0.0,) * 3,
                    None,
                    x1,
                    n1,
                    x2,
                    n2,
                    single,
                )
            ] * len(RULES)
        spend = (0.5 if k == 0 else 1e-4) if k >= 0 else 0.0
        both.take(seen, asked=k >= 0, spend=spend, opens=k >= 0 and k % 40 == 0)
    assert any(e.log_e > math.log(100) for e in both.one_by_one) == (harm > 1)
