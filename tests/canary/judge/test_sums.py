"""Sums by name come to the same whoever is added to whom, and leave what was added as it was."""

import copy
from operator import add

from hypothesis import given
from hypothesis import strategies as st

from canary.judge import sums

totals = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 1000))
rows = st.dictionaries(st.sampled_from("abcd"), st.tuples(*[st.integers(0, 1000).map(float)] * 3))


@given(totals, totals, totals)
def test_each_name_has_the_sum_of_all_who_know_it(
    one: dict[str, int], two: dict[str, int], three: dict[str, int]
) -> None:
    summed = sums.by_name(sums.by_name(one, two, add), three, add)
    assert (
        summed
        == {name: sum(each.get(name, 0) for each in (one, two, three)) for name in {*one, *two, *three}}
        == sums.by_name(one, sums.by_name(two, three, add), add)
    )


@given(rows, rows)
def test_what_is_added_up_stays_as_it_was(one: dict[str, tuple[float, ...]], two: dict[str, tuple[float, ...]]) -> None:
    before = copy.deepcopy((one, two))
    sums.by_name(one, two, sums.counts)
    assert (one, two) == before


def test_counts_are_added_bound_by_bound_and_pairs_part_by_part() -> None:
    assert sums.counts((1.0, 2.0), (10.0, 20.0)) == (11.0, 22.0)
    assert sums.pair((1.0, 2.0), (10.0, 20.0)) == (11.0, 22.0)
