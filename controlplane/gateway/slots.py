"""Which of a route's two slots is whose, and how weights move between them without a lost request. Pure.

Asked by `router.py`. A gateway that counts requests by arm makes a cluster of each backendRef, named by its place in
the list; a place that goes to nothing, or comes from nothing, under traffic answers 500 for some milliseconds. So there
are two fixed slots, and every way from and to nothing leads over one request in a million, which has to be in force for
half a second before the rest follows (measured: `docs/gateways.md`). That step down is the whole rollback; what comes
after it is tidying up. A slot at rest has weight 0 and names the Service that the other one names.

Steps are read off the route as it is, never remembered: whoever comes after a crash goes on from there.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from canary.weights import ALL_CANARY, ALL_STABLE, ARMS, WHOLE, Arm, Weights

TINY = 1
"""Millionths that keep a slot warm. Not 1 in 100: that one gets requests for half a second more (measured)."""
SETTLED_S = 0.5
"""Seconds for which a tiny weight has to be in force before the step after it. 0.05 was enough on one quiet node."""


@dataclass(frozen=True, slots=True)
class Backend:
    """Who can stand in a slot."""

    variant: str
    """Its name, which the gateway adds to each request."""
    service: str
    """The Kubernetes Service that requests go to."""


Backends = Mapping[Arm, Backend]


@dataclass(frozen=True, slots=True)
class Slot:
    """One place in the list of backendRefs."""

    backend: Backend
    weight: int
    """Millionths, as long as nobody else has written the route."""
    since: float = 0.0
    """When it came to name this Service (seconds since the epoch)."""

    @property
    def service(self) -> str:
        """The Service that it names."""
        return self.backend.service


Slots = tuple[Slot, Slot]


@dataclass(frozen=True, slots=True)
class SlotStep:
    """The next state of the slots."""

    slots: Slots
    after: float = 0.0
    """Seconds for which the present state has to have been in force."""


def all_on(backend: Backend, place: int = 0) -> Slots:
    """Everything on this one, the other slot at rest."""
    return _pair(place, Slot(backend, WHOLE), Slot(backend, 0))


def place_of(slots: Slots, service: str) -> int | None:
    """The slot in which this Service answers; of two that name it, the heavier."""
    named = [index for index, slot in enumerate(slots) if slot.service == service]
    return max(named, key=lambda index: slots[index].weight) if named else None


def in_millionths(slots: Slots) -> Slots:
    """The same shares as weights that sum to a million; two zeros stay what they are."""
    first, second = slots
    total = first.weight + second.weight
    if total in {0, WHOLE}:
        return slots
    part = min(max(round(second.weight * WHOLE / total), 1 if second.weight else 0), WHOLE - (1 if first.weight else 0))
    return replace(first, weight=WHOLE - part), replace(second, weight=part)


def weights_in(slots: Slots, backends: Backends) -> Weights | None:
    """The split between the arms, where one in a million counts as nothing; None when others have a part in it."""
    slots = in_millionths(slots)
    if not slots[0].weight + slots[1].weight:
        return None
    ours = {backend.service for backend in backends.values()}
    if any(slot.weight > TINY and slot.service not in ours for slot in slots):
        return None
    return _meant(millionths(slots, backends["canary"]))


def millionths(slots: Slots, backend: Backend) -> int:
    """What a Service gets over both slots, one in a million included."""
    return sum(slot.weight for slot in in_millionths(slots) if slot.service == backend.service)


def stamped(slots: Slots, before: Slots | None, now: float) -> Slots:
    """The slots with the time when each came to name its Service: now, unless it named it before."""

    def since(index: int) -> float:
        named = before is not None and before[index].service == slots[index].service
        return (before[index].since if before and named else 0.0) or now

    return replace(slots[0], since=since(0)), replace(slots[1], since=since(1))


def named(slots: Slots, backends: Backends) -> Slots:
    """The slots with our own names of variants, for Services that are ours."""
    ours = {backend.service: backend for backend in backends.values()}
    first, second = (replace(slot, backend=ours.get(slot.service, slot.backend)) for slot in slots)
    return first, second


def next_step(slots: Slots, backends: Backends, wanted: Weights, fresh: Collection[int] = ()) -> SlotStep | None:
    """One step from here towards the weights wanted; None when they are there.

    `fresh` are slots that have named their Service for so short a time that the gateway may not know it yet.
    """
    slots = in_millionths(slots)
    at = {arm: place_of(slots, backends[arm].service) for arm in ARMS}
    if not slots[0].weight + slots[1].weight:
        return SlotStep(_stable_first(slots, backends, at))
    stable, canary = at["stable"], at["canary"]
    if stable is None:
        return _bring_stable(slots, backends, wanted, canary)
    if canary is None:
        return _bring_canary(slots, backends, wanted, stable)
    return _between(slots, wanted, stable, canary, stable in fresh)


def rest(slots: Slots, backends: Backends, free: Arm) -> SlotStep | None:
    """Let the slot of an arm that gets no more than one in a million go to rest; None when it cannot, or does already.

    Never asked of stable while a rollback is still possible: a slot that is at rest takes a second to come back.
    """
    slots = in_millionths(slots)
    keep = backends["canary" if free == "stable" else "stable"]
    kept = place_of(slots, keep.service)
    if kept is None or slots[kept].weight < WHOLE - TINY:
        return None
    other = slots[1 - kept]
    if other.weight == 0 and other.service == keep.service:
        return None
    return SlotStep(_pair(kept, replace(slots[kept], weight=WHOLE), Slot(keep, 0)), SETTLED_S)


def steps(slots: Slots, backends: Backends, wanted: Weights) -> Iterator[SlotStep]:
    """All steps to the weights wanted, one after the other."""
    while step := next_step(slots, backends, wanted):
        yield step
        slots = step.slots


def _bring_stable(slots: Slots, backends: Backends, wanted: Weights, canary: int | None) -> SlotStep | None:
    """Stable is nowhere: it begins in the lighter slot, which must have next to nothing before its Service changes."""
    if canary is not None and wanted == ALL_CANARY and slots[canary].weight >= WHOLE - TINY:
        return None
    live = canary if canary is not None else _heavier(slots)
    other = slots[1 - live]
    if other.weight <= TINY:
        started = Slot(backends["stable"], TINY)
        return SlotStep(_pair(live, replace(slots[live], weight=WHOLE - TINY), started), SETTLED_S)
    if canary is None:
        return SlotStep(_weighed(slots, live, WHOLE - TINY))
    # Somebody put a stranger where stable was, with traffic: that place is stable's again, whatever the canary gets.
    share = min(wanted.canary, slots[canary].weight)
    return SlotStep(
        _pair(
            canary,
            replace(slots[canary], weight=max(share, TINY)),
            Slot(backends["stable"], WHOLE - max(share, TINY)),
        )
    )


def _bring_canary(slots: Slots, backends: Backends, wanted: Weights, stable: int) -> SlotStep | None:
    """The canary is nowhere: it begins in the slot that stable does not have."""
    mine, other = slots[stable], slots[1 - stable]
    if mine.weight < TINY:
        return SlotStep(_weighed(slots, stable, TINY))
    if other.weight > TINY:
        return SlotStep(_weighed(slots, stable, WHOLE - TINY), SETTLED_S if mine.weight == TINY else 0.0)
    if not wanted.canary:
        return None
    started = Slot(backends["canary"], TINY)
    return SlotStep(_pair(stable, replace(mine, weight=WHOLE - TINY), started), SETTLED_S)


def _between(slots: Slots, wanted: Weights, stable: int, canary: int, stable_is_fresh: bool) -> SlotStep | None:
    """Both arms have their slot: only the weights move, and neither to nothing."""
    has = slots[canary].weight
    target = min(max(wanted.canary, TINY), WHOLE - TINY)
    if has == target or _meant(has) == wanted:
        return None
    if target > has:
        if has < TINY:
            return SlotStep(_weighed(slots, canary, TINY))
        return SlotStep(_weighed(slots, canary, target), SETTLED_S if has == TINY else 0.0)
    left = WHOLE - has
    if wanted == ALL_STABLE:  # nothing is worth waiting for, but a slot that the gateway has only just been told of
        return SlotStep(_weighed(slots, stable, WHOLE - TINY), SETTLED_S if left == TINY and stable_is_fresh else 0.0)
    if left < TINY:
        return SlotStep(_weighed(slots, stable, TINY))
    return SlotStep(_weighed(slots, canary, target), SETTLED_S if left == TINY else 0.0)


def _meant(canary: int) -> Weights:
    """The split that the canary's millionths stand for, where one in a million counts as nothing."""
    return ALL_STABLE if canary <= TINY else ALL_CANARY if canary >= WHOLE - TINY else Weights(canary)


def _stable_first(slots: Slots, backends: Backends, at: Mapping[Arm, int | None]) -> Slots:
    """Somebody set both weights to 0, and nobody is served: stable gets all, in its slot or in the canary's other."""
    stable, canary = at["stable"], at["canary"]
    place = stable if stable is not None else 1 - canary if canary is not None else 0
    if canary is None or canary == place:
        return all_on(backends["stable"], place)
    return _pair(place, Slot(backends["stable"], WHOLE - TINY, slots[place].since), replace(slots[canary], weight=TINY))


def _heavier(slots: Slots) -> int:
    return 1 if slots[1].weight > slots[0].weight else 0


def _weighed(slots: Slots, place: int, weight: int) -> Slots:
    """This weight for one slot, the rest for the other."""
    return _pair(place, replace(slots[place], weight=weight), replace(slots[1 - place], weight=WHOLE - weight))


def _pair(place: int, there: Slot, other: Slot) -> Slots:
    return (there, other) if place == 0 else (other, there)
