"""Evidence worked out for many gates at once is what it is one by one: each number, after any blocks, for any rule."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary.judge import docket, fleet, weighing
from canary.judge.columns import Columns
from canary.judge.evidence import NO_CASE_YET, NOTHING_USUAL, Evidence, Numbers, Rule
from canary.judge.weighing import Kept, Weighing
from canary.spec.models import Gate
from tests.canary.judge.worlds import CONVERSION, ERRORS_AT_MOST, ERRORS_LIKE_STABLE, FAST, FAST_LIKE_STABLE, plan

IN_POINTS = Gate(
    text="error_rate not worse than stable by 1pp",
    metric="error_rate",
    comparison="notWorseThan",
    limit=0.01,
    margin="points",
    better="lower",
)
DOCKET = docket.of(plan(ERRORS_AT_MOST, ERRORS_LIKE_STABLE, FAST, FAST_LIKE_STABLE, IN_POINTS, CONVERSION))
RULES: Sequence[Rule] = [case.rule for case in DOCKET.tested if case.rule is not None]


def _same(one: Any, other: Any) -> None:
    """The same names, and the same numbers to the ninth digit."""
    if isinstance(one, Mapping):
        assert one.keys() == other.keys()
        for name in one:
            _same(one[name], other[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            _same(a, b)
    else:
        assert type(other) is float
        assert other == pytest.approx(one, rel=1e-9, abs=1e-12)


def _both(questions: list[Weighing]) -> Sequence[Kept]:
    """What both say, which is the same."""
    one_by_one, together = weighing.answered(questions), fleet.answered(questions)
    for a, b in zip(one_by_one, together, strict=True):
        _same(a, b)
    return together


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
def test_many_gates_together_come_to_what_each_comes_to_by_itself(told: list[Any]) -> None:
    """Any counts, no canary or no stable, one replica or two, stages that begin, bounds that change, new beginnings."""
    kept: Sequence[Kept] = [Evidence().kept() for _ in RULES]
    for k, ((x_v, more_v, x1, more_1, x2, more_2), contrast, weight, rho, single, happens) in enumerate(told):
        n_v, n1, n2 = x_v + more_v, x1 + more_1, x2 + more_2
        x_c, n_c = (x2, n2) if single else (x1 + x2, n1 + n2)
        clear = min(x_v + happens, n_v), min(x_c + happens, n_c)
        block = Numbers(x_v, n_v, x_c, n_c, *clear, rho, contrast, weight, min(weight, happens))
        block = block._replace(x1=x1, n1=n1, x2=x2, n2=n2, single=single)
        if happens in {1, 2}:
            kept = [{**each, **(NO_CASE_YET if happens == 1 else NOTHING_USUAL)} for each in kept]
        asked, spend = happens != 3, 0.5 if k == 0 else 0.05 * (happens > 15)
        moment = 5.0 * k, spend, happens % 4 == 0
        kept = _both(
            [(each, rule, block, each["held"], asked, *moment) for each, rule in zip(kept, RULES, strict=True)]
        )


@pytest.mark.parametrize("harm", [1.0, 3.0, 30.0])
def test_whole_rollouts_come_to_the_same_evidence_however_long_they_last(harm: float) -> None:
    """Twelve gates of six kinds over 220 blocks, healthy and harmed; some answers come long after stable degraded."""
    rng = np.random.default_rng(5)
    kept: Sequence[Kept] = [Evidence().kept() for _ in (*RULES, *RULES)]
    for k in range(-20, 200):
        n_v, n1, n2 = rng.poisson([300 * (k >= 0), 500, 400]).tolist()
        rate = 0.02 * (4.0 if 100 < k < 120 else 1.0)
        x_v, x1, x2 = rng.binomial([n_v, n1, n2], [min(rate * harm ** (k > 60), 0.9), rate, rate]).tolist()
        contrast, weight = x_v - n_v * rate, n_v * (n1 + n2) / max(n_v + n1 + n2, 1)
        questions: list[Weighing] = []
        for number, (each, rule) in enumerate(zip(kept, (*RULES, *RULES), strict=True)):
            single = number >= len(RULES)
            x_c, n_c = (x2, n2) if single else (x1 + x2, n1 + n2)
            block = Numbers(x_v, n_v, x_c, n_c, x_v, x_c, 1.1, contrast, weight, weight * 0.02, x1, n1, x2, n2, single)
            spend = (0.5 if k == 0 else 1e-4) if k >= 0 else 0.0
            questions.append((each, rule, block, each["held"], k >= 0, 5.0 * k, spend, k >= 0 and k % 40 == 0))
        kept = _both(questions)
    accused = [each["log_e"] > math.log(100) for each in kept]
    assert any(accused) == (harm > 1)


def test_columns_give_back_what_they_were_made_of() -> None:
    kept = [Evidence().kept(), Evidence(bet=[float(i) for i in range(8)], totals=[1.5], squares=[2.5]).kept()]
    assert Columns.of(kept).kept() == kept


def test_a_row_says_of_each_name_by_itself_what_it_says_of_all_at_once() -> None:
    kept = Evidence(fast=[1.0, 2.0, 3.0, 4.0], totals=[1.5], squares=[2.5], log_e=0.5, log_clear=-0.5).kept()
    (row,) = Columns.of([kept]).kept()
    assert {name: row[name] for name in kept} == dict(row.items()) == kept
    with pytest.raises(KeyError):
        row["z_squares"]


def test_gates_alike_share_a_rule_whatever_plan_they_stand_in() -> None:
    one, other, third = (docket.of(plan(gate)).tested[0].rule for gate in (FAST, FAST.model_copy(), FAST_LIKE_STABLE))
    assert one is other
    assert one is not third


def test_columns_of_the_unseen_are_those_of_evidence_that_has_seen_nothing() -> None:
    assert Columns.fresh(3).kept() == [Evidence().kept()] * 3


def test_a_number_that_is_not_to_be_had_is_an_error_and_no_evidence() -> None:
    kept = Evidence(totals=[1.0], squares=[-1e9], pool=[1.0, 100.0, 100.0]).kept()
    block = Numbers(5.0, 100.0, 5.0, 100.0, 5.0, 5.0)
    with pytest.raises(FloatingPointError):
        fleet.answered([(kept, RULES[0], block, [0.0, 0.0], True, 0.0, 0.1, True)])
