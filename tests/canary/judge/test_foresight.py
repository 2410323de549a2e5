"""A fleet's new totals are taken in together, and each rollout is then judged as if it had been alone."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from pydantic import TypeAdapter

from canary import judge
from canary.judge import Heard, JudgeState, foresight, weighing
from canary.observation import Counters, EvidenceSeen
from canary.spec.models import CanarySpec, Gate
from canary.verdict import Judgement
from canary.weights import Weights
from tests.canary.judge.worlds import (
    CONVERSION,
    ERRORS_AT_MOST,
    ERRORS_LIKE_STABLE,
    FAST,
    FAST_LIKE_STABLE,
    Health,
    World,
    block,
    plan,
)

HALF = Weights.of_share(0.5)
LATE = CONVERSION.model_copy(update={"text": "kpi/conversion drop <= 1%, delay 10s", "delay": 10.0})
BY_TENANT = ERRORS_LIKE_STABLE.model_copy(update={"text": f"{ERRORS_LIKE_STABLE.text} by tenant", "by": "tenant"})
COUNTED = FAST.model_copy(update={"text": "latency p95 <= 250ms (counted)", "test": "threshold", "failures": 3})
GATES: Sequence[tuple[Gate, ...]] = (
    (ERRORS_AT_MOST, ERRORS_LIKE_STABLE, FAST, FAST_LIKE_STABLE, CONVERSION),
    (ERRORS_LIKE_STABLE, LATE),
    (BY_TENANT, COUNTED),
    (FAST_LIKE_STABLE,),
)


@dataclass
class Member:
    """A rollout with its own plan and world."""

    spec: CanarySpec
    world: World
    state: JudgeState

    def hear(self, second: int, *, stage: int) -> Counters:
        """Its totals now, with segments where a gate asks for them."""
        self.world.serve(400, 0.5)
        seen = self.world.counters(float(second))
        return Counters(seen.at, seen.arms, segments={"tenant": {"a": seen.arms}})

    def ask(self, counters: Counters, stage: int) -> Judgement:
        """One pass."""
        self.state, judgement = judge.watch(
            self.spec,
            self.state,
            stage=stage,
            weights=HALF,
            evidence=EvidenceSeen(counters.at, counters),
            now=counters.at,
            stage_since=20.0 * stage,
        )
        return judgement


def _fleet() -> list[Member]:
    """Eight rollouts of four plans; every other one has one stable replica, and one is harmed."""
    members = []
    for number in range(8):
        spec = plan(*GATES[number % 4], shares=(0.5, 0.5, 1.0))
        world = World(seed=number, pods={"stable": 1 + number // 4, "canary": 1})
        if number == 4:
            world.health["canary"] = Health(errors=0.2)
        members.append(Member(spec, world, judge.begin(spec)))
    return members


def _told(judgement: Judgement) -> list[tuple[str, str, str]]:
    return [(verdict.gate, verdict.verdict, verdict.why) for verdict in judgement.gates]


def test_rollouts_heard_together_are_judged_as_each_would_be_alone() -> None:
    """Two stages of twenty scrapes: the same answers in the same words, and the same evidence to the ninth digit."""
    alone, together = _fleet(), _fleet()
    for second in range(40):
        stage = second // 20
        heard = [member.hear(second, stage=stage) for member in together]
        judge.ahead(
            [
                Heard(member.spec, member.state, counters, stage, HALF, 20.0 * stage)
                for member, counters in zip(together, heard, strict=True)
            ]
        )
        for one, other, counters in zip(alone, together, heard, strict=True):
            assert _told(one.ask(one.hear(second, stage=stage), stage)) == _told(other.ask(counters, stage))
    for one, other in zip(alone, together, strict=True):
        assert judge.weight_of_evidence(one.spec, one.state) == pytest.approx(
            judge.weight_of_evidence(other.spec, other.state), rel=1e-9
        )
    assert any(other.state.memory["failed"] for other in together)


def test_what_was_worked_out_ahead_is_what_the_pass_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    members = _fleet()
    for second in range(2):
        heard = [member.hear(second, stage=0) for member in members]
        judge.ahead([Heard(m.spec, m.state, c, 0, HALF, 0.0) for m, c in zip(members, heard, strict=True)])
        if second:
            monkeypatch.setattr(weighing, "answered", lambda _: pytest.fail("it was worked out again"))
        for member, counters in zip(members, heard, strict=True):
            member.ask(counters, 0)
    assert all(member.state.memory["blocks"] == 1 for member in members)


@pytest.mark.parametrize("what", ["totals", "stage", "weights", "state"])
def test_a_pass_that_asks_about_anything_else_takes_nothing_worked_out_ahead(what: str) -> None:
    member = _fleet()[0]
    member.ask(member.hear(0, stage=0), 0)
    counters = member.hear(1, stage=0)
    judge.ahead([Heard(member.spec, member.state, counters, 0, HALF, 0.0)])
    asked = {
        "totals": Heard(member.spec, member.state, member.hear(2, stage=0), 0, HALF, 0.0),
        "stage": Heard(member.spec, member.state, counters, 1, HALF, 0.0),
        "weights": Heard(member.spec, member.state, counters, 0, Weights.of_share(0.25), 0.0),
        "state": Heard(member.spec, judge.begin(member.spec), counters, 0, HALF, 0.0),
    }
    assert foresight.foreseen(asked[what]) is None
    same = Heard(member.spec, member.state, counters, 0, HALF, 0.0)
    assert foresight.foreseen(same) is not None
    assert foresight.foreseen(same) is None, "it is taken once"


def test_one_broken_memory_leaves_all_to_their_own_passes() -> None:
    """Nothing is raised ahead, the others are judged, and the broken one says so in its own pass."""
    members = _fleet()[:3]
    for second in range(3):
        heard = [member.hear(second, stage=0) for member in members]
        if second == 2:
            members[0].state.memory["evidence"][ERRORS_AT_MOST.text]["bet"] = None
        judge.ahead([Heard(m.spec, m.state, c, 0, HALF, 0.0) for m, c in zip(members, heard, strict=True)])
        for member, counters in zip(members[second == 2 :], heard[second == 2 :], strict=True):
            member.ask(counters, 0)
    with pytest.raises(TypeError):
        members[0].ask(heard[0], 0)
    assert members[1].state.memory["blocks"] == 2


def test_blocks_of_many_rollouts_give_the_states_that_each_gives_alone() -> None:
    specs = [plan(*gates) for gates in GATES for _ in range(10)]
    states = [judge.begin(spec) for spec in specs]
    blocks = [block(1.0, (100, k), (300, 3), (300, 2)) for k in range(len(specs))]
    news = list(zip(specs, states, blocks, strict=True))
    assert [state.memory for state in judge.update_all(news)] == [judge.update(*each).memory for each in news]


def test_states_of_many_are_written_down_and_read_again_like_any_other() -> None:
    adapter = TypeAdapter(JudgeState)
    specs = [plan(*gates) for gates in GATES for _ in range(10)]
    states = [judge.begin(spec) for spec in specs]
    for k in range(3):
        blocks = [block(1.0 + k, (100, k), (300, 3), (300, 2)) for _ in specs]
        states = judge.update_all(list(zip(specs, states, blocks, strict=True)))
    for spec, state in zip(specs, states, strict=True):
        read = adapter.validate_python(json.loads(json.dumps(adapter.dump_python(state))))
        assert read == state
        assert adapter.validate_json(adapter.dump_json(state)) == state
        more = block(9.0, (100, 1), (300, 3), (300, 2))
        assert judge.update(spec, read, more) == judge.update(spec, state, more)
