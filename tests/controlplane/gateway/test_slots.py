"""The steps between two splits: no slot goes to or from nothing under traffic, and nobody gets more than was asked."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from canary.weights import ALL_CANARY, ALL_STABLE, WHOLE, Arm, Weights
from controlplane.gateway.slots import (
    SETTLED_S,
    TINY,
    Backend,
    Slot,
    Slots,
    SlotStep,
    all_on,
    in_millionths,
    millionths,
    next_step,
    place_of,
    rest,
    stamped,
    steps,
    weights_in,
)

STABLE, CANARY = Backend("v1", "chat-v1-predictor"), Backend("v2", "chat-v2-predictor")
STRANGER, OTHER = Backend("x", "somebody"), Backend("y", "somebody-else")
BACKENDS: dict[Arm, Backend] = {"stable": STABLE, "canary": CANARY}
FIVE = Weights(50_000)

weights = st.one_of(
    st.sampled_from([ALL_STABLE, ALL_CANARY, FIVE, Weights(750_000)]), st.integers(2, WHOLE - 2).map(Weights)
)
any_weight = st.one_of(st.sampled_from([0, 1, 5, 95, WHOLE - 1, WHOLE]), st.integers(0, WHOLE))
any_slot = st.builds(Slot, st.sampled_from([STABLE, CANARY, STRANGER, OTHER]), any_weight)
any_slots = st.tuples(any_slot, any_slot)


def split(slots: Slots) -> list[tuple[str, int]]:
    return [(slot.backend.variant, slot.weight) for slot in slots]


def walk(slots: Slots, wanted: Weights) -> list[list[tuple[str, int]]]:
    return [split(step.slots) for step in steps(slots, BACKENDS, wanted)]


def test_a_canary_starts_with_one_in_a_million_in_the_slot_at_rest() -> None:
    assert walk(all_on(STABLE), FIVE) == [[("v1", 999_999), ("v2", 1)], [("v1", 950_000), ("v2", 50_000)]]


def test_a_canary_starts_in_the_first_slot_where_stable_has_the_second() -> None:
    assert walk(all_on(STABLE, 1), FIVE) == [[("v2", 1), ("v1", 999_999)], [("v2", 50_000), ("v1", 950_000)]]


def test_each_step_to_or_from_one_in_a_million_waits_until_it_is_known() -> None:
    starting = list(steps(all_on(STABLE), BACKENDS, FIVE))
    assert [step.after for step in starting] == [SETTLED_S, SETTLED_S]
    assert [step.after for step in steps(starting[-1].slots, BACKENDS, Weights(250_000))] == [0.0]
    assert [step.after for step in steps(starting[-1].slots, BACKENDS, ALL_STABLE)] == [0.0]


def test_a_rollback_is_one_step_from_every_share() -> None:
    """Also from 100 %, and whatever was in force for how long."""
    for share in (2, 50_000, 750_000, WHOLE - 1):
        slots = (Slot(STABLE, WHOLE - share), Slot(CANARY, share))
        assert list(steps(slots, BACKENDS, ALL_STABLE)) == [SlotStep((Slot(STABLE, WHOLE - 1), Slot(CANARY, 1)), 0.0)]


def test_a_rollback_to_a_stable_slot_that_the_gateway_hardly_knows_waits_for_it() -> None:
    slots = (Slot(STABLE, 1), Slot(CANARY, WHOLE - 1))
    step = next_step(slots, BACKENDS, ALL_STABLE, fresh=(0,))
    assert step is not None
    assert step.after == SETTLED_S


def test_a_rollback_to_a_stable_that_somebody_turned_off_does_not_wait() -> None:
    """Some requests are lost for milliseconds, which is less than half a second on a bad canary."""
    assert walk((Slot(STABLE, 0), Slot(CANARY, WHOLE)), ALL_STABLE) == [[("v1", 999_999), ("v2", 1)]]


def test_a_promotion_keeps_the_way_back_warm() -> None:
    slots = (Slot(STABLE, 250_000), Slot(CANARY, 750_000))
    assert walk(slots, ALL_CANARY) == [[("v1", 1), ("v2", 999_999)]]


def test_after_a_rollback_the_canarys_slot_goes_to_rest_on_stables_service() -> None:
    step = rest((Slot(STABLE, WHOLE - 1), Slot(CANARY, 1)), BACKENDS, "canary")
    assert step == SlotStep((Slot(STABLE, WHOLE), Slot(STABLE, 0)), SETTLED_S)
    assert rest(step.slots, BACKENDS, "canary") is None


def test_after_a_promotion_stables_slot_goes_to_rest_and_keeps_its_place() -> None:
    step = rest((Slot(STABLE, 1), Slot(CANARY, WHOLE - 1)), BACKENDS, "stable")
    assert step == SlotStep((Slot(CANARY, 0), Slot(CANARY, WHOLE)), SETTLED_S)


def test_a_slot_with_traffic_is_never_sent_to_rest() -> None:
    slots = (Slot(STABLE, 950_000), Slot(CANARY, 50_000))
    assert rest(slots, BACKENDS, "canary") is None
    assert rest(slots, BACKENDS, "stable") is None


def test_stable_comes_back_after_an_earlier_promotion_without_a_gap() -> None:
    """A new attempt of the same plan begins where only the earlier winner is in the route."""
    assert walk((Slot(CANARY, 0), Slot(CANARY, WHOLE)), ALL_STABLE) == [
        [("v1", 1), ("v2", 999_999)],
        [("v1", 999_999), ("v2", 1)],
    ]


def test_a_strangers_share_goes_first_where_the_canary_is_to_come() -> None:
    assert walk((Slot(STABLE, 500_000), Slot(STRANGER, 500_000)), FIVE) == [
        [("v1", 999_999), ("x", 1)],
        [("v1", 999_999), ("v2", 1)],
        [("v1", 950_000), ("v2", 50_000)],
    ]


def test_a_stranger_in_stables_place_has_to_leave_it_at_once() -> None:
    """Somebody edited the route; a rollback must not give a stranger the traffic."""
    assert walk((Slot(STRANGER, 750_000), Slot(CANARY, 250_000)), ALL_STABLE) == [[("v1", 999_999), ("v2", 1)]]


def test_weights_in_percent_are_read_as_shares() -> None:
    assert split(in_millionths((Slot(STABLE, 95), Slot(CANARY, 5)))) == [("v1", 950_000), ("v2", 50_000)]
    assert weights_in((Slot(STABLE, 95), Slot(CANARY, 5)), BACKENDS) == FIVE


def test_one_in_a_million_counts_as_nothing() -> None:
    assert weights_in((Slot(STABLE, WHOLE - 1), Slot(CANARY, 1)), BACKENDS) == ALL_STABLE
    assert weights_in((Slot(STABLE, 1), Slot(CANARY, WHOLE - 1)), BACKENDS) == ALL_CANARY


def test_a_split_that_others_share_is_no_split_between_the_arms() -> None:
    assert weights_in((Slot(STABLE, 950_000), Slot(STRANGER, 50_000)), BACKENDS) is None
    assert weights_in((Slot(STABLE, 0), Slot(CANARY, 0)), BACKENDS) is None


def test_a_slot_keeps_the_time_since_when_it_names_its_service() -> None:
    before = (Slot(STABLE, WHOLE, 10.0), Slot(STABLE, 0, 10.0))
    started = stamped((Slot(STABLE, WHOLE - 1), Slot(CANARY, 1)), before, 20.0)
    assert [slot.since for slot in started] == [10.0, 20.0]


def check(before: Slots, step: SlotStep, wanted: Weights, *, clean: bool) -> None:
    """What holds at every step; `clean` where nobody but us has ever written the route."""
    old = in_millionths(before)
    nobody = not old[0].weight + old[1].weight
    canary = millionths(step.slots, CANARY)
    assert step.slots[0].weight + step.slots[1].weight == WHOLE
    assert min(slot.weight for slot in step.slots) >= 0
    assert canary <= max(millionths(old, CANARY), wanted.canary, TINY)
    for was, becomes in zip(old, step.slots, strict=True):
        from_nothing = was.weight == 0 and becomes.weight > TINY
        to_nothing = was.weight > TINY and becomes.weight == 0
        rename = was.service != becomes.service and was.weight > TINY
        assert not to_nothing
        if clean:
            assert not from_nothing
            assert not rename
        if rename:
            assert becomes.service == STABLE.service  # whoever somebody put in its place has to leave at once
        if from_nothing:
            assert nobody or (wanted == ALL_STABLE and becomes.service == STABLE.service)
        jumps = was.weight == TINY and becomes.weight > TINY
        if jumps and wanted != ALL_STABLE and was.service in {STABLE.service, CANARY.service}:
            assert step.after == SETTLED_S


def arrive(slots: Slots, wanted: Weights, patience: int, *, clean: bool) -> Slots:
    """Walk so many steps at most, as a process does that may be killed after any of them."""
    for _ in range(patience):
        step = next_step(slots, BACKENDS, wanted)
        if step is None:
            break
        check(slots, step, wanted, clean=clean)
        slots = step.slots
    return slots


@given(any_slots, weights)
def test_every_state_leads_to_every_split(slots: Slots, wanted: Weights) -> None:
    """Whatever somebody has left in the route: at most six steps, none of which does harm."""
    there = arrive(slots, wanted, 6, clean=False)
    assert next_step(there, BACKENDS, wanted) is None
    assert weights_in(there, BACKENDS) == wanted


@given(st.lists(st.tuples(weights, st.integers(0, 4), st.booleans()), max_size=12), st.integers(0, 1))
def test_a_route_that_is_only_ours_never_makes_a_gap(asked: list[tuple[Weights, int, bool]], place: int) -> None:
    """Any sequence of splits, a crash after any step, and tidying up in between."""
    slots = all_on(STABLE, place)
    for wanted, patience, tidy in asked:
        slots = arrive(slots, wanted, patience, clean=True)
        if not tidy:
            continue
        free: Arm = "canary" if millionths(slots, CANARY) <= TINY else "stable"
        step = rest(slots, BACKENDS, free)
        if step is not None:
            check(slots, step, ALL_STABLE if free == "canary" else ALL_CANARY, clean=True)
            assert step.after == SETTLED_S
            assert place_of(step.slots, BACKENDS[free].service) is None
            slots = step.slots
    wanted = asked[-1][0] if asked else ALL_STABLE
    assert weights_in(arrive(slots, wanted, 6, clean=True), BACKENDS) == wanted


@given(any_slots, weights)
def test_steps_do_not_depend_on_when_a_slot_got_its_service(slots: Slots, wanted: Weights) -> None:
    """The time is for those who read counters."""
    later = (replace(slots[0], since=7.0), slots[1])
    first, second = next_step(slots, BACKENDS, wanted), next_step(later, BACKENDS, wanted)
    assert (first is None) == (second is None)
    if first and second:
        assert split(first.slots) == split(second.slots)
