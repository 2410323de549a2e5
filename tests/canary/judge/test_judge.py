"""The judge as the machine calls it: totals in, verdicts out, through everything that happens to a rollout."""

import math
from dataclasses import dataclass, field, replace

import pytest
from pydantic import TypeAdapter

from canary import judge
from canary.judge import JudgeState, compile_gates
from canary.snapshot import Counters, MetricsStatus, PodCounters
from canary.spec.models import CanarySpec, Gate
from canary.verdict import GateAnswer, GateVerdict, Judgement
from canary.weights import ARMS, Weights
from tests.canary.judge.worlds import (
    CONVERSION,
    ERRORS_AT_MOST,
    ERRORS_LIKE_STABLE,
    FAST,
    FAST_LIKE_STABLE,
    World,
    plan,
    remembered,
)

DEMO = (ERRORS_AT_MOST, FAST, FAST_LIKE_STABLE)


@dataclass
class Court:
    """A judge watching a world, one scrape after another."""

    spec: CanarySpec
    world: World = field(default_factory=World)
    rps: float = 300.0
    scrape: float = 1.0
    stage: int = 0
    now: float = 100.0
    since: float | None = 100.0
    judgement: Judgement = field(default_factory=Judgement)

    def __post_init__(self) -> None:
        self.config = judge.compile_gates(self.spec)
        self.state = judge.begin(self.config)
        self.look()

    @property
    def share(self) -> float:
        return self.spec.stages[self.stage].traffic

    def look(self, counters: Counters | None = None, *, up: bool = True, problem: str = "") -> Judgement:
        """Let the judge see the world as it is, or what is given instead."""
        found = counters or self.world.counters(self.now)
        evidence = MetricsStatus(self.now, found, up, problem)
        weights = Weights.of_share(self.share)
        analysis = judge.watch(
            self.config,
            self.state,
            stage=self.stage,
            weights=weights,
            evidence=evidence,
            now=self.now,
            stage_since=self.since,
        )
        self.state, self.judgement = analysis.state, analysis.judgement
        return self.judgement

    def scrapes(self, count: int, *, until: GateAnswer | None = None) -> int:
        """So many scrapes, or fewer until the judge says this; how many it took."""
        for k in range(count):
            self.world.serve(self.rps * self.scrape, self.share)
            self.now += self.scrape
            if self.look().answer is until:
                return k + 1
        return count

    def enter(self, stage: int) -> None:
        """The machine moves on."""
        self.stage, self.since = stage, self.now

    def says(self) -> GateAnswer:
        """The judge's answer at the last look."""
        return self.judgement.answer

    def gate(self, text: str) -> GateVerdict:
        return next(gate for gate in self.judgement.gates if gate.gate == text)


def demo(seed: int = 1) -> Court:
    """The demonstration's plan and traffic: 300 requests a second, scrapes of a second, one replica each."""
    return Court(plan(*DEMO), World(seed, {"stable": 1, "canary": 1}))


@pytest.mark.parametrize("seed", range(8))
def test_a_healthy_canary_passes_every_stage_of_a_short_demonstration(seed: int) -> None:
    """At 5 % (15 requests a second) within 12 scrapes, at 25 % within 10."""
    court = demo(seed)
    assert court.scrapes(14, until=GateAnswer.PASS) <= 12
    court.enter(1)
    assert court.scrapes(12, until=GateAnswer.PASS) <= 10


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("gate", [ERRORS_AT_MOST, FAST])
def test_absolute_gates_pass_on_about_ninety_clean_requests(seed: int, gate: Gate) -> None:
    court = demo(seed)
    court.world.health["canary"].errors = court.world.health["stable"].errors = 0.0
    passed = 0.0
    for _ in range(10):
        court.scrapes(1)
        if court.gate(gate.text).verdict is GateAnswer.PASS:
            passed = court.gate(gate.text).samples["canary"]
            break
    assert 60 <= passed <= 110


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("healthy", "limit"), [(0, 4), (2, 5)])
@pytest.mark.parametrize(("errors", "latency"), [(0.3, 0.05), (0.001, 0.2)])
def test_harm_at_a_quarter_of_the_traffic_is_found_within_four_scrapes(
    seed: int, healthy: int, limit: int, errors: float, latency: float
) -> None:
    """30 % errors, or everything four times as slow, from the stage's beginning; one scrape later in its midst."""
    court = demo(seed)
    court.scrapes(14, until=GateAnswer.PASS)
    court.enter(1)
    court.scrapes(healthy)
    began = court.now
    court.world.health["canary"].errors, court.world.health["canary"].latency = errors, latency
    assert court.scrapes(6, until=GateAnswer.FAIL) <= limit
    failed = court.judgement.failed("rollback")
    assert failed[0].spoke == "sequential"
    assert failed[0].harm_began is not None
    assert began - 2 <= failed[0].harm_began <= began + 2


def test_a_plain_outage_is_stopped_in_two_scrapes() -> None:
    court = demo()
    court.enter(1)
    court.scrapes(3)
    court.world.health["canary"].errors = 0.9
    assert court.scrapes(5, until=GateAnswer.FAIL) == 2
    assert court.judgement.failed("rollback")[0].spoke == "hard stop"
    assert "plain outage" in court.judgement.failed("rollback")[0].why


def test_what_has_failed_stays_failed() -> None:
    court = demo()
    court.enter(1)
    court.world.health["canary"].errors = 0.3
    court.scrapes(12, until=GateAnswer.FAIL)
    before = court.judgement.failed("rollback")
    court.world.health["canary"].errors = 0.0
    court.scrapes(20)
    assert court.judgement.failed("rollback") == before


def test_the_same_totals_twice_change_nothing() -> None:
    court = demo()
    court.scrapes(4)
    before, answer = court.state, court.judgement
    assert court.look() == answer
    assert court.state == before


def test_a_rollout_comes_to_the_same_numbers_whoever_is_judged_beside_it() -> None:
    """To the last bit: alone, and in turn with others of the same plan and of another."""
    alone = demo(3)
    alone.scrapes(12)
    beside = [demo(3), demo(4), Court(plan(ERRORS_LIKE_STABLE, CONVERSION), World(5))]
    for _ in range(12):
        for court in beside:
            court.scrapes(1)
    assert beside[0].state == alone.state
    assert beside[0].judgement == alone.judgement


def test_a_restart_changes_nothing() -> None:
    """Through JSON and back after every scrape, the story is the same."""
    adapter = TypeAdapter(JudgeState)
    plain, reborn = demo(3), demo(3)
    for _ in range(12):
        plain.scrapes(1)
        reborn.state = adapter.validate_json(adapter.dump_json(reborn.state))
        reborn.scrapes(1)
        assert reborn.judgement == plain.judgement
    assert reborn.state == plain.state


def test_the_memory_stays_small_and_does_not_grow() -> None:
    court = Court(plan(*DEMO, ERRORS_LIKE_STABLE, CONVERSION), World(pods={"stable": 8, "canary": 2}), scrape=5.0)
    adapter = TypeAdapter(JudgeState)
    court.scrapes(30)
    early = len(adapter.dump_json(court.state))
    court.scrapes(300)
    assert len(adapter.dump_json(court.state)) < min(64_000, early * 1.3)


def test_no_stage_passes_on_the_evidence_of_the_one_before() -> None:
    court = demo()
    court.scrapes(14, until=GateAnswer.PASS)
    court.enter(1)
    assert court.look().answer is GateAnswer.WAIT
    assert judge.read(court.config, court.state, stage=1, now=court.now).answer is GateAnswer.WAIT


def test_the_share_that_was_served_is_counted_from_the_beginning_of_the_stage_on() -> None:
    court = demo()
    assert judge.share_served(court.state, stage=0) is None
    court.scrapes(14)
    assert judge.share_served(court.state, stage=0) == pytest.approx(0.05, rel=0.3)
    court.enter(1)
    assert judge.share_served(court.state, stage=1) is None
    court.scrapes(4)
    assert judge.share_served(court.state, stage=1) == pytest.approx(0.25, rel=0.2)
    assert judge.share_served(court.state, stage=0) is None


def test_while_weights_are_not_in_force_harm_counts_and_nothing_passes() -> None:
    court = demo()
    court.since = None
    court.scrapes(30)
    assert court.says() is GateAnswer.WAIT
    court.world.health["canary"].errors = 0.9
    court.scrapes(12, until=GateAnswer.FAIL)
    assert court.says() is GateAnswer.FAIL


def test_at_all_traffic_only_limits_are_judged_and_the_hard_stop_stays_armed() -> None:
    spec = plan(*DEMO)
    last = spec.stages[-1].model_copy(update={"gates": DEMO})
    court = Court(spec.model_copy(update={"stages": (*spec.stages[:-1], last)}), World())
    court.enter(2)
    court.scrapes(5)
    assert [gate.gate for gate in court.judgement.gates] == [ERRORS_AT_MOST.text, FAST.text]
    assert court.says() is GateAnswer.PASS
    court.world.health["canary"].errors = 0.9
    assert court.scrapes(4, until=GateAnswer.FAIL) == 2


@pytest.mark.parametrize("gates", [DEMO, (ERRORS_LIKE_STABLE,)])
def test_when_both_arms_suffer_nobody_is_rolled_back_and_nobody_passes(gates: tuple[Gate, ...]) -> None:
    court = Court(plan(*gates), World())
    court.enter(1)
    court.scrapes(30)
    for arm in ARMS:
        court.world.health[arm].errors = 0.2
    court.scrapes(15)
    assert court.says() is GateAnswer.WAIT
    assert "stable's own history" in court.judgement.problem


def test_when_stable_alone_degrades_the_canary_is_not_punished() -> None:
    court = Court(plan(ERRORS_LIKE_STABLE), World())
    court.enter(1)
    court.scrapes(30)
    court.world.health["stable"].errors = 0.1
    court.scrapes(30)
    assert court.says() is GateAnswer.WAIT, "nor does it profit"
    assert not court.judgement.problem


def test_before_any_sample_a_wait_says_how_many_are_needed() -> None:
    court = demo()
    verdict = court.gate(ERRORS_AT_MOST.text)
    assert verdict.verdict is GateAnswer.WAIT
    assert "no data from the canary" in verdict.why
    assert "about 78 canary requests" in verdict.why


def test_with_little_traffic_it_waits_and_says_how_long() -> None:
    """Five requests a second, a quarter of them on the canary."""
    court = Court(plan(ERRORS_AT_MOST), World(), rps=5.0, scrape=5.0)
    court.enter(1)
    court.scrapes(4)
    verdict = court.gate(ERRORS_AT_MOST.text)
    assert verdict.verdict is GateAnswer.WAIT
    assert verdict.eta is not None
    assert 20 < verdict.eta < 120
    assert court.scrapes(60, until=GateAnswer.PASS) < 40


def test_what_few_users_say_takes_as_long_as_it_is_said_to_take() -> None:
    """One in fifty rates an answer: it is their ratings that are missing, and those come fifty times as slowly."""
    enough = Gate(text="conversion >= 15%", metric="kpi/conversion", comparison="min", limit=0.15, better="higher")
    court = Court(plan(enough, shares=(0.5, 1.0)), World(rated=0.02), scrape=5.0)
    court.scrapes(8)
    verdict = court.gate(enough.text)
    assert verdict.verdict is GateAnswer.WAIT
    assert "more canary samples, about" in verdict.why
    assert verdict.eta is not None
    took = 5.0 * court.scrapes(400, until=GateAnswer.PASS)
    assert verdict.eta / 3 < took < verdict.eta * 3


def test_silence_is_neither_pass_nor_fail_and_says_for_how_long() -> None:
    court = demo()
    court.scrapes(14, until=GateAnswer.PASS)
    silent = court.world.counters(court.now)
    court.now += 60
    judgement = court.look(silent, up=False, problem="connection refused")
    assert judgement.answer is GateAnswer.WAIT
    assert "nothing new for 1 min (connection refused)" in judgement.gates[0].why


def test_numbers_that_are_none_are_no_data() -> None:
    court = demo()
    court.scrapes(2)
    for _ in range(5):
        court.now += 5
        pods = {arm: dict.fromkeys(court.world.totals[arm], _nan()) for arm in ARMS}
        court.look(Counters(court.now, pods))
    assert court.says() is GateAnswer.WAIT
    assert all(gate.verdict is GateAnswer.WAIT for gate in court.judgement.gates)


def _nan() -> PodCounters:
    return PodCounters(math.nan, math.nan, {"latency": {0.1: math.nan, math.inf: math.nan}})


def test_an_older_answer_is_ignored_and_a_clock_set_back_is_followed() -> None:
    court = demo()
    old = court.world.counters(court.now)
    court.scrapes(4)
    before = court.state
    court.look(old)
    assert court.state == before
    court.world.serve(300, court.share)
    court.now -= 3600
    court.since = court.now
    court.look()
    assert court.state.previous is not None
    assert court.state.previous.at == court.now
    assert court.scrapes(16, until=GateAnswer.PASS) < 16


def test_a_counter_reset_is_not_a_burst_of_errors_or_of_anything() -> None:
    court = Court(plan(ERRORS_AT_MOST), World())
    court.enter(1)
    court.scrapes(5)
    for totals in court.world.totals["canary"].values():
        totals[:] = 0
    court.scrapes(5)
    assert court.says() is GateAnswer.PASS


def test_traffic_that_is_not_split_as_asked_pauses_the_rollout() -> None:
    """A quarter was asked for, a third is served."""
    court = Court(plan(ERRORS_AT_MOST), World())
    court.enter(1)
    for _ in range(40):
        court.world.serve(300, 1 / 3)
        court.now += 1
        court.look()
    verdict = court.gate("traffic share as asked")
    assert verdict.on_breach == "pause"
    assert "the canary served 3" in verdict.why
    assert "25 % was asked for" in verdict.why
    assert court.judgement.failed("pause")
    court.scrapes(40)
    assert not court.judgement.failed("pause"), "once it is right again, the complaint ends"


def test_traffic_split_as_asked_is_never_mentioned() -> None:
    court = Court(plan(ERRORS_AT_MOST), World(seed=5))
    court.enter(1)
    court.scrapes(200)
    assert [gate.gate for gate in court.judgement.gates] == [ERRORS_AT_MOST.text]


def test_a_slow_start_is_forgiven_within_the_warm_up() -> None:
    """New replicas are slow for 20 s; with a warm-up of 20 s nobody minds."""
    spec = plan(FAST, warmup=20.0)
    court = Court(spec, World())
    court.enter(1)
    court.world.health["canary"].latency = 0.5
    born = court.now

    def young(counters: Counters) -> Counters:
        pods = {name: replace(pod, started_at=born) for name, pod in counters.arms["canary"].items()}
        return Counters(counters.at, {**counters.arms, "canary": pods})

    for k in range(50):
        court.world.serve(300, court.share)
        court.now += 1
        court.look(young(court.world.counters(court.now)))
        if k == 18:
            court.world.health["canary"].latency = 0.05
        assert court.says() is not GateAnswer.FAIL
    assert court.says() is GateAnswer.PASS


def test_a_kpi_that_drops_is_found_and_one_that_holds_is_passed() -> None:
    drop = Gate(text="conversion drop <= 5%", metric="kpi/conversion", comparison="drift", limit=0.05, better="higher")
    for conversion, expected in ((0.12, GateAnswer.FAIL), (0.22, GateAnswer.PASS)):
        court = Court(plan(drop, shares=(0.5, 1.0)), World(), scrape=5.0)
        court.world.health["canary"].conversion = conversion
        assert court.scrapes(150, until=expected) < 150
        assert "conversion" in court.judgement.gates[0].why


def test_a_gate_that_pauses_fails_without_rolling_back() -> None:
    court = Court(plan(ERRORS_AT_MOST.model_copy(update={"on_breach": "pause"}), hardStop={"enabled": False}), World())
    court.enter(1)
    court.world.health["canary"].errors = 0.3
    court.scrapes(20)
    assert court.says() is GateAnswer.WAIT
    assert court.judgement.failed("pause")


def test_a_gate_may_ask_for_samples_before_it_speaks() -> None:
    court = Court(plan(ERRORS_AT_MOST.model_copy(update={"min_samples": 400}), hardStop={"enabled": False}), World())
    court.enter(1)
    court.world.health["canary"].errors = 0.3
    court.scrapes(4)
    assert court.says() is GateAnswer.WAIT
    assert "more canary requests before this gate may speak" in court.gate(ERRORS_AT_MOST.text).why
    court.scrapes(4)
    assert court.says() is GateAnswer.FAIL


def test_a_state_made_for_other_gates_is_begun_anew() -> None:
    court = demo()
    court.scrapes(5)
    other = plan(CONVERSION)
    analysis = judge.watch(
        compile_gates(other),
        court.state,
        stage=0,
        weights=Weights.of_share(0.05),
        evidence=MetricsStatus(court.now),
        now=court.now,
        stage_since=court.since,
    )
    state, judgement = analysis.state, analysis.judgement
    assert [gate.gate for gate in judgement.gates] == [CONVERSION.text]
    assert remembered(state).gates == (CONVERSION.text,)


def test_a_state_of_another_version_is_begun_anew_but_keeps_its_totals() -> None:
    court = demo()
    court.scrapes(5)
    plain = TypeAdapter(JudgeState).dump_python(court.state)
    old = TypeAdapter(JudgeState).validate_python(plain | {"version": 0, "memory": {"what": "it was"}})
    assert (old.unreadable, old.previous) == (True, court.state.previous)
    court.state = old
    court.scrapes(1)
    assert not court.state.unreadable
    assert court.gate(ERRORS_AT_MOST.text).samples["canary"] > 0
