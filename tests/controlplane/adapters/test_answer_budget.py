"""What many servers answer together has so much memory, and one that sends too much takes none of the others'."""

import gc
import tracemalloc
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import Unavailable
from controlplane.adapters.answer_budget import AnswerBudget
from controlplane.adapters.bounded_http import TooLarge
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.evidence.shared_prometheus import SharedPrometheus
from tests.controlplane.adapters.pages import PageServer
from tests.controlplane.evidence.scraped import Prometheus, answer, places
from tests.controlplane.reconcile.desk import Hand

MIB = 2**20


def test_s14_who_has_less_than_a_share_gets_it_whatever_others_hold() -> None:
    budget = AnswerBudget(100)
    hostile, other = budget.part(), budget.part()
    with hostile.hold("all") as much, other.hold("a") as little, other.hold("b") as more:
        much.take(100)
        with pytest.raises(TooLarge, match="dropped"):
            much.take(1)
        little.take(50)
        with pytest.raises(TooLarge):
            little.take(1)
        more.take(25)
        with pytest.raises(TooLarge):
            more.take(1)
        assert budget.taken == 175
    assert (budget.taken, hostile.taken, other.taken) == (0, 0, 0)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(-60, 120)), max_size=60),
)
def test_s14_no_more_than_twice_the_budget_is_ever_held(steps: Sequence[tuple[int, int, int]]) -> None:
    """And nothing that is given back is lost."""
    budget = AnswerBudget(100)
    parts = [budget.part() for _ in range(4)]
    held: Counter[tuple[int, int]] = Counter()
    for part, holder, wanted in steps:
        more = max(wanted, -held[part, holder])
        before = budget.taken
        try:
            parts[part].take(holder, more)
        except TooLarge:
            assert more > 0
            assert before + more > 100
        else:
            held[part, holder] += more
        assert budget.taken == held.total() <= 200
        assert [each.taken for each in parts] == [
            sum(bytes_ for (place, _), bytes_ in held.items() if place == part) for part in range(4)
        ]


@pytest.mark.parametrize("label", ["x", "\N{GRINNING FACE}"], ids=["narrow", "wide"])
async def test_s14_what_an_answer_takes_in_memory_is_bounded_and_not_its_length_alone(label: str) -> None:
    """Many small series, or one character that makes all others wide, are many times as large as their text."""
    found = [{"metric": {"a": f"{label}{number}"}, "values": [[100.0, "1"]]} for number in range(20_000)]
    text = answer(found).replace("\\ud83d\\ude00", label)
    async with PageServer() as server:
        server.put("/api/v1/query", text)
        budget = AnswerBudget(2 * MIB)
        api = PrometheusApi(server.url(""), seconds=60, budget=budget.part())
        tracemalloc.start()
        try:
            with pytest.raises(Unavailable, match="may take 2 MiB of memory") as refused:
                await api.newest("up[3s]")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert isinstance(refused.value, TooLarge) or isinstance(refused.value.__cause__, TooLarge)
        assert peak < 3 * MIB, "a budget, and what the server has on its way"
        assert budget.taken == 0
        server.put("/api/v1/query", answer(found[:100]))
        assert len((await api.newest("up[3s]")).labels) == 100
        assert budget.taken == 0
        await api.close()


async def test_s14_what_failed_keeps_nothing_of_an_answer() -> None:
    """An error is remembered until the next tick, and with it would be everything that was read until then."""
    found = [{"metric": {"a": str(number)}, "values": [[100.0, "1"]]} for number in range(40_000)]
    async with Prometheus() as server:
        server.put("/gateway", answer(found))
        server.put("/pods", answer([]))
        budget = AnswerBudget(6 * MIB)
        api = PrometheusApi(server.url(""), seconds=60, budget=budget.part())
        fleet = SharedPrometheus(api, clock=Hand(), interval=1.0)
        fleet.register(("shop", "chat"), places())
        await fleet.tick()
        gc.collect()
        tracemalloc.start()
        try:
            gc.disable()
            for _ in range(3):
                await fleet.tick()
            with pytest.raises(Unavailable, match="may take 6 MiB of memory"):
                fleet.newest(("shop", "chat"))
            kept = tracemalloc.get_traced_memory()[0]
        finally:
            gc.enable()
            tracemalloc.stop()
        assert kept < MIB
        assert budget.taken == 0
        await api.close()
