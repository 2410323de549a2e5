"""How many rollouts one namespace may have under way, and whose turn it is where more would begin.

Asked by the controller before it begins a rollout. A place is taken from the first pass to the last thing put away;
whoever waits begins in the order in which the ModelCanaries were created. What is under way already is never ended by
this.
"""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterable

from controlplane.kubernetes.api import Object
from controlplane.kubernetes.cache import Key, key_of
from controlplane.operator.spec_reader import is_under_way, may_begin

MOST_ROLLOUTS = 100
"""Of one namespace at the same time; half of what one operator was measured with."""
Place = tuple[str, Key]
"""When it was created, and who it is."""


class RolloutLimit:
    """The places of every namespace."""

    def __init__(self, most: int, poke: Callable[[Key], None]) -> None:
        """`most`: rollouts of one namespace; `poke` lets one be looked at whose turn it may be."""
        self._most, self._poke = most, poke
        self._taken: defaultdict[str, set[Key]] = defaultdict(set)
        self._waiting: defaultdict[str, list[Place]] = defaultdict(list)
        """In the order in which they begin."""

    def begin(self, canaries: Iterable[Object]) -> None:
        """A new term of office: what is under way has a place, and what may want one is in line until it is read."""
        self._taken.clear()
        self._waiting.clear()
        for object_ in canaries:
            key = key_of(object_)
            if is_under_way(object_):
                self._taken[key[0]].add(key)
            elif may_begin(object_):
                insort(self._waiting[key[0]], _place(object_))

    def refusal(self, object_: Object) -> str:
        """Why a rollout must not begin now, as a sentence; empty where it has a place from now on."""
        key, place = key_of(object_), _place(object_)
        taken, waiting = self._taken[key[0]], self._waiting[key[0]]
        at = bisect_left(waiting, place)
        if waiting[at : at + 1] != [place]:
            self._leave_line(key)  # where one of this name was created before
            insort(waiting, place)
            at = waiting.index(place)
        if key in taken or at < self._most - len(taken):
            taken.add(key)
            self._leave_line(key)
            return ""
        turn = f"after {waiting[at - 1][1][1]}, which was created before it" if at else "and it is the next"
        return (
            f"Namespace {key[0]} has as many rollouts under way as one may have at a time ({self._most}, "
            f"--rollouts-per-namespace). This one begins by itself once there is room, {turn}."
        )

    def leave(self, key: Key) -> None:
        """It is over, or gone, and wants no place any more: those are looked at that there is room for by that."""
        taken, waiting = self._taken[key[0]], self._waiting[key[0]]
        taken.discard(key)
        self._leave_line(key)
        for _, each in waiting[: max(0, self._most - len(taken))]:
            self._poke(each)
        if not taken and not waiting:
            del self._taken[key[0]], self._waiting[key[0]]

    def _leave_line(self, key: Key) -> None:
        """Whoever was behind it is looked at: another one is before it now, or none."""
        waiting = self._waiting[key[0]]
        at = next((at for at, (_, each) in enumerate(waiting) if each == key), len(waiting))
        waiting[at : at + 1] = ()
        for _, behind in waiting[at : at + 1]:
            self._poke(behind)


def _place(object_: Object) -> Place:
    return str(object_["metadata"].get("creationTimestamp", "")), key_of(object_)
