"""Verdicts are given again only where they would come out the same."""

from canary import judge
from canary.observation import EvidenceSeen
from canary.verdict import Judgement
from canary.weights import Weights
from tests.canary.judge.worlds import ERRORS_AT_MOST, ERRORS_LIKE_STABLE, World, plan

HALF = Weights.of_share(0.5)


class Hearing:
    """A plan, a world and a judge who has heard some scrapes of it."""

    def __init__(self, *, scrapes: int) -> None:
        self.spec, self.world = plan(ERRORS_AT_MOST, ERRORS_LIKE_STABLE, shares=(0.5, 1.0)), World()
        self.state = judge.begin(self.spec)
        for second in range(scrapes):
            self.world.serve(400, 0.5)
            self.counters = self.world.counters(float(second))
            self.ask(float(second))

    def ask(self, now: float, *, stage_since: float | None = 0.0, problem: str = "") -> Judgement:
        """One pass over the newest totals."""
        evidence = EvidenceSeen(now, self.counters, problem=problem)
        self.state, judgement = judge.watch(
            self.spec, self.state, stage=0, weights=HALF, evidence=evidence, now=now, stage_since=stage_since
        )
        return judgement


def test_a_pass_over_nothing_new_gives_the_very_same_verdicts() -> None:
    hearing = Hearing(scrapes=12)
    before = hearing.ask(11.2)
    assert hearing.ask(12.0) is before


def test_verdicts_grow_old_although_nothing_new_is_heard() -> None:
    """After fifteen seconds without data the answer is another one, as a judge who remembers nothing would say."""
    hearing = Hearing(scrapes=12)
    assert all("nothing new" not in verdict.why for verdict in hearing.ask(20.0).gates)
    old = hearing.ask(31.0)
    assert all("nothing new for 20 s" in verdict.why for verdict in old.gates)
    assert hearing.ask(41.0) != old, "the age in the sentence goes on"


def test_another_question_is_answered_anew() -> None:
    hearing = Hearing(scrapes=12)
    settled = hearing.ask(11.2)
    assert hearing.ask(11.3, stage_since=None) != settled
    assert hearing.ask(11.4) == settled


def test_new_totals_are_always_heard() -> None:
    hearing = Hearing(scrapes=12)
    before = hearing.ask(11.2)
    hearing.world.serve(400, 0.5)
    hearing.counters = hearing.world.counters(12.0)
    after = hearing.ask(12.0)
    assert after.gates[0].samples["canary"] > before.gates[0].samples["canary"]
