"""The machine beside a model of it that fits on a page: whatever happens in whatever order, both are at the same place.

The model knows no actions, no sentences and no statistics: only which fact wins over which, and where that leads. The
gates are thresholds, so that one reading decides. Random worlds, in which facts contradict each other, are in
`tests/simulation`; here facts are true, and what is to come of them is known exactly.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from canary.rollout import Phase, Reason
from canary.snapshot import OperatorRequest, RouteStatus, VariantStatus, Verb
from canary.spec.models import Gate, Stage
from canary.weights import Weights
from tests.canary.story import Story, plan

P = Phase
GATE = Gate(
    text="error_rate <= 10%",
    metric="error_rate",
    comparison="max",
    limit=0.1,
    better="lower",
    test="threshold",
    failures=0,
)
HOLD, DEADLINE, MAX_BLIND, EVERY = 10.0, 60.0, 30.0, 5.0
SHARES = (0.05, 0.25, 1.0)
APPROVED = 1
"""The stage that a person has to approve."""
PLAN = plan(
    *(
        Stage(traffic=share, hold=HOLD, gates=(GATE,), approve="leads" if stage == APPROVED else None)
        for stage, share in enumerate(SHARES)
    ),
    progress_deadline=DEADLINE,
    max_blind=MAX_BLIND,
    on_blind="pause",
)
EXPOSED = {P.SHIFTING, P.ANALYZING, P.AWAITING_APPROVAL, P.PAUSED, P.PROMOTING, P.WATCHING, P.BLIND}
EXAMPLES = 2_000 if os.environ.get("SERINUS_PROFILE") == "nightly" else 100
OVER = {P.SUCCEEDED, P.ROLLED_BACK, P.SUPERSEDED}


@dataclass
class World:
    """What is true."""

    now: float = 0.0
    stable: bool = False
    canary: bool = False
    served: bool = False
    """Whether stable was there until now: requests come as long as it is."""
    up: bool = True
    """Whether the numbers can be read."""
    harmful: bool = False
    """Whether the canary fails every request."""
    newer: bool = False
    """Whether a newer plan waits."""
    obeys: bool = True
    """Whether the route does what it is asked."""
    route: float = 0.0
    """The canary's share that is in force."""


class Model:
    """Where a rollout is, by the rules alone."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.phase, self.stage, self.weight, self.before = P.PENDING, 0, 0.0, 0.0
        self.resume_to = P.ANALYZING
        self.result: str | None = None
        self.since = self.stage_since = 0.0
        self.readings = 0
        """Of requests at this stage's weights."""
        self.first_counts = False
        """Whether one reading is enough: it depends on what it is compared with, which is the judge's business."""
        self.harmed = False

    def look(self, ask: Verb | None = None) -> None:
        """One look at the world, and every step that follows from it. An obedient route follows at once."""
        world = self.world
        flows = world.up and world.served
        self.harmed = flows and world.harmful and world.route > 0
        self.readings += flows and world.route > 0
        if ask:
            self._answer(ask)
        while True:
            while (follows := self._objection() or self._step()) is not None:
                follows()
            if self.phase is P.ROLLING_BACK and (world.stable or not world.canary):
                self.weight = 0.0  # seen to be in force at the next look at the earliest
            if not world.obeys or world.route == self.weight:
                return
            world.route = self.weight

    def _answer(self, verb: Verb) -> None:
        skips = self.resume_to if self.phase is P.PAUSED else self.phase
        match verb:
            case "abort" if self.phase not in {*OVER, P.ROLLING_BACK}:
                self._back("aborted")
            case "pause" if self.phase in EXPOSED - {P.PAUSED}:
                self._freeze(P.PAUSED)
            case "resume" if self.phase is P.PAUSED:
                self._enter(self.resume_to)
            case "approve" if self.phase is P.AWAITING_APPROVAL and self._both:
                self._begin_stage(self.stage + 1)
            case "promote" if skips in {P.ANALYZING, P.AWAITING_APPROVAL, P.BLIND} and self._both and not self._last:
                self._begin_stage(self.stage + 1)

    def _objection(self) -> Callable[[], None] | None:
        """What speaks against going on; the first counts."""
        world, exposed = self.world, self.phase in EXPOSED
        waits = self.phase is P.PREPARING and not self._both and world.now - self.since >= DEADLINE
        objections: Mapping[str, bool] = {
            "rolled_back": exposed
            and (self.harmed or (self.weight > 0 and world.stable and not world.canary) or self._lowered),
            "superseded": world.newer,
            "failed": waits,
        }
        if self.phase in {*OVER, P.ROLLING_BACK}:
            return None
        for result, objected in objections.items():
            if objected:
                return lambda: self._back(result)
        if self.phase in {P.ANALYZING, P.WATCHING} and not world.up:
            return lambda: self._freeze(P.BLIND)
        return None

    def _step(self) -> Callable[[], None] | None:
        """What the phase itself waits for, and what comes then."""
        world = self.world
        in_force = world.route == self.weight
        passed = self._both and in_force and self._read and world.now - self.stage_since >= HOLD
        match self.phase:
            case P.PENDING:
                return lambda: self._enter(P.PREPARING)
            case P.PREPARING if self._both:
                return lambda: self._begin_stage(0)
            case P.SHIFTING if in_force:
                return lambda: self._judge(P.ANALYZING)
            case P.PROMOTING if in_force:
                return lambda: self._judge(P.WATCHING)
            case P.ANALYZING if passed and self.stage == APPROVED:
                return lambda: self._enter(P.AWAITING_APPROVAL)
            case P.ANALYZING if passed:
                return lambda: self._begin_stage(self.stage + 1)
            case P.WATCHING if passed:
                return lambda: self._end(P.SUCCEEDED, "promoted")
            case P.BLIND if world.up:
                return lambda: self._enter(self.resume_to)
            case P.BLIND if world.now - self.since >= MAX_BLIND:
                return lambda: self._enter(P.PAUSED)
            case P.ROLLING_BACK if not self.weight and world.route == 0:
                return lambda: self._enter(P.SUPERSEDED if self.result == "superseded" else P.ROLLED_BACK)
        return None

    @property
    def _both(self) -> bool:
        return self.world.stable and self.world.canary

    @property
    def _read(self) -> bool:
        return self.readings > 1 or (self.readings == 1 and self.first_counts)

    @property
    def _lowered(self) -> bool:
        """Whether less is in force than was before this stage began, or than the stage has."""
        shifting = {P.SHIFTING, P.PROMOTING}
        rises = self.phase in shifting or (self.phase is P.PAUSED and self.resume_to in shifting)
        return self.world.route < (self.before if rises else self.weight)

    @property
    def _last(self) -> bool:
        return self.stage == len(SHARES) - 1

    def _enter(self, phase: Phase) -> None:
        self.phase, self.since = phase, self.world.now

    def _judge(self, phase: Phase) -> None:
        self._enter(phase)
        self.stage_since, self.readings = self.world.now, 0

    def _freeze(self, phase: Phase) -> None:
        if self.phase is not P.BLIND:
            self.resume_to = self.phase
        self._enter(phase)

    def _begin_stage(self, stage: int) -> None:
        self.stage, self.before, self.weight = stage, self.weight, SHARES[stage]
        self._enter(P.PROMOTING if self._last else P.SHIFTING)

    def _back(self, result: str) -> None:
        self.result = result
        self._enter(P.ROLLING_BACK)

    def _end(self, phase: Phase, result: str) -> None:
        self.result = result
        self._enter(phase)


class Rollouts(RuleBasedStateMachine):
    """Everything that happens to a rollout, one look after each."""

    def __init__(self) -> None:
        super().__init__()
        self._begin(World())

    def _begin(self, world: World) -> None:
        self.world, self.story, self.model = world, Story(PLAN), Model(world)

    def _look(self, ask: Verb | None = None) -> None:
        world, story = self.world, self.story
        now = world.now = world.now + EVERY
        world.served = story.seen.stable.usable
        story.canary_errors, story.follows = float(world.harmful), world.obeys
        request = OperatorRequest(f"q{len(story.seen.requests)}", ask, "ada", now) if ask else None
        story.at(
            now,
            stable=VariantStatus(now, ready=int(world.stable)),
            canary=VariantStatus(now, ready=int(world.canary)),
            route=RouteStatus(now, Weights.of_share(world.route)),
            evidence=story._traffic(now) if world.up else replace(story.seen.evidence, at=now, up=False),
            requests=(*story.seen.requests, *((request,) if request else ())),
            superseded_by="r2" if world.newer else "",
        )
        passed = {Reason.STAGE_PASSED, Reason.APPROVAL_NEEDED, Reason.PROMOTED}
        self.model.first_counts = any(each.at == now and each.reason in passed for each in story.rollout.history)
        self.model.look(ask)

    @initialize(ready=st.booleans())
    def both_begin(self, ready: bool) -> None:
        """Mostly at once."""
        self.world.stable = self.world.canary = ready
        self._look()

    @rule()
    def time_passes(self) -> None:
        """Nothing else."""
        self._look()

    @rule(arm=st.sampled_from(["stable", "canary"]), ready=st.sampled_from([True] * 6 + [False]))
    def a_variant_is_ready_or_not(self, arm: str, ready: bool) -> None:
        """It is looked at as it is."""
        setattr(self.world, arm, ready)
        self._look()

    @rule(verb=st.sampled_from(["promote", "pause", "resume", "resume", "approve", "approve", "retry", "abort"]))
    def a_person_asks(self, verb: Verb) -> None:
        """Once."""
        self._look(verb)

    @rule(up=st.sampled_from([True, True, True, False]))
    def the_numbers_go_and_come(self, up: bool) -> None:
        """Nothing was counted meanwhile."""
        self.world.up = up
        self._look()

    @rule(obeys=st.sampled_from([True, True, True, False]))
    def the_route_obeys_or_not(self, obeys: bool) -> None:
        """What it did not do it does as soon as it obeys."""
        self.world.obeys = obeys
        self._look()

    @precondition(lambda self: self.world.route > 0)
    @rule(what=st.sampled_from(["", "", "", "lowered", "harmful", "newer", "lost", "lost with stable"]))
    def something_speaks_against_it(self, what: str) -> None:
        """Another hand lowers the route, the canary fails every request or is lost, a newer plan waits."""
        world = self.world
        world.route = 0.0 if what == "lowered" else world.route
        world.harmful = world.harmful or what == "harmful"
        world.newer = world.newer or what == "newer"
        world.canary = world.canary and not what.startswith("lost")
        world.stable = world.stable and what != "lost with stable"
        self._look()

    @precondition(lambda self: self.story.rollout.finished)
    @rule()
    def the_next_one_begins(self) -> None:
        """A finished rollout stays as it is, which a few looks have shown."""
        self._begin(World(stable=True, canary=True))
        self._look()

    @invariant()
    def both_are_at_the_same_place(self) -> None:
        """Phase, stage, weight and result."""
        rollout, model = self.story.rollout, self.model
        assert (rollout.phase, rollout.stage, rollout.weights, rollout.result) == (
            model.phase,
            model.stage,
            Weights.of_share(model.weight),
            model.result,
        ), self.story.tell()


def test_r12_the_machine_is_where_the_model_is_whatever_happens() -> None:
    run_state_machine_as_test(Rollouts, settings=settings(max_examples=EXAMPLES, stateful_step_count=40))


def test_r12_what_happens_can_lead_through_every_phase() -> None:
    """Stories that reach nothing would compare nothing."""
    good, bad, old = Rollouts(), Rollouts(), Rollouts()
    phases: list[Phase] = []

    def then(rollouts: Rollouts, happens: Callable[[], None]) -> None:
        happens()
        rollouts.both_are_at_the_same_place()
        phases.append(rollouts.story.rollout.phase)

    for each in (good, bad, old):
        then(each, partial(each.both_begin, ready=False))
        then(each, partial(each.a_variant_is_ready_or_not, "stable", ready=True))
        each.world.obeys = each is not good
        then(each, partial(each.a_variant_is_ready_or_not, "canary", ready=True))
    then(good, lambda: good.the_route_obeys_or_not(obeys=True))
    then(good, lambda: good.the_numbers_go_and_come(up=False))
    then(good, lambda: good.the_numbers_go_and_come(up=True))
    then(good, lambda: good.a_person_asks("pause"))
    then(good, lambda: good.a_person_asks("resume"))
    for _ in range(3):
        then(good, good.time_passes)
    good.world.obeys = False
    then(good, lambda: good.a_person_asks("approve"))
    then(good, lambda: good.the_route_obeys_or_not(obeys=True))
    then(good, lambda: good.the_numbers_go_and_come(up=False))
    then(good, lambda: good.a_person_asks("pause"))
    then(good, lambda: good.the_numbers_go_and_come(up=True))
    then(good, lambda: good.a_person_asks("resume"))
    for _ in range(2):
        then(good, good.time_passes)
    bad.world.obeys = False
    then(bad, lambda: bad.something_speaks_against_it("harmful"))
    then(bad, lambda: bad.the_route_obeys_or_not(obeys=True))
    then(old, lambda: old.something_speaks_against_it("newer"))
    assert set(phases) == set(Phase) - {P.PENDING, P.EVALUATING, P.SHADOWING}
