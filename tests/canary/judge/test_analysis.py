"""Verdicts are given again only where they would come out the same."""

from canary import judge
from canary.judge import Analysis
from canary.snapshot import MetricsStatus
from canary.verdict import Judgement
from canary.weights import Weights
from tests.canary.judge.worlds import ERRORS_AT_MOST, ERRORS_LIKE_STABLE, World, plan


class Asked:
    """A judge that has seen some scrapes, and what it answered last."""

    def __init__(self, *, scrapes: int) -> None:
        self.config = judge.compile_gates(plan(ERRORS_AT_MOST, ERRORS_LIKE_STABLE, shares=(0.5, 1.0)))
        self.world = World()
        self.last: Analysis | None = None
        self.state = judge.begin(self.config)
        for second in range(scrapes):
            self.world.serve(400, 0.5)
            self.counters = self.world.counters(float(second))
            self.ask(float(second))

    def ask(self, now: float, *, stage_since: float | None = 0.0) -> Judgement:
        """One pass over the newest totals, which says the same as one that remembers no answer."""
        fresh, found = (
            judge.watch(
                self.config,
                self.state,
                stage=0,
                weights=Weights.of_share(0.5),
                evidence=MetricsStatus(now, self.counters),
                now=now,
                stage_since=stage_since,
                last=last,
            )
            for last in (None, self.last)
        )
        assert (fresh.state, fresh.judgement) == (found.state, found.judgement)
        self.state, self.last = found.state, found
        return found.judgement


def test_a_pass_over_nothing_new_gives_the_very_same_verdicts() -> None:
    asked = Asked(scrapes=12)
    before = asked.ask(11.2)
    assert asked.ask(12.0) is before


def test_verdicts_grow_old_although_nothing_new_is_measured() -> None:
    """After fifteen seconds without data the answer is another one, as a judge who remembers nothing would say."""
    asked = Asked(scrapes=12)
    assert all("nothing new" not in verdict.why for verdict in asked.ask(20.0).gates)
    old = asked.ask(31.0)
    assert all("nothing new for 20 s" in verdict.why for verdict in old.gates)
    assert asked.ask(41.0) != old, "the age in the sentence goes on"


def test_another_question_gets_an_answer_of_its_own() -> None:
    asked = Asked(scrapes=12)
    settled = asked.ask(11.2)
    assert asked.ask(11.3, stage_since=None) != settled
    assert asked.ask(11.4) == settled


def test_new_totals_are_always_taken_in() -> None:
    asked = Asked(scrapes=12)
    before = asked.ask(11.2)
    asked.world.serve(400, 0.5)
    asked.counters = asked.world.counters(12.0)
    assert asked.ask(12.0).gates[0].samples["canary"] > before.gates[0].samples["canary"]


def test_an_answer_to_another_rollout_is_never_given() -> None:
    one, other = Asked(scrapes=12), Asked(scrapes=6)
    expected = other.ask(11.2)
    other.last = one.last
    assert other.ask(11.2) == expected
