"""How much memory the answers of many servers may take together: what is being read, and what is kept of it.

Used by the client of Prometheus and by the fleets that keep its series. Nobody waits: whoever asks for more than there
is left is refused, unless it has less than its share, which is an equal one for each that holds any. So one server that
sends too much loses its own answer and none of the others', and so does one question to a server that many share. What
an answer weighs is the caller's to say. Pure.
"""

from collections import Counter
from collections.abc import Hashable
from typing import Self

from controlplane.adapters.bounded_http import TooLarge


class AnswerBudget:
    """Bytes of memory for all that share it; for a moment they may have twice as many, since shares are kept."""

    def __init__(self, most: float, *, within: "AnswerBudget | None" = None) -> None:
        """`most`: bytes, infinite for no bound; `within`: of which this is a part, with an equal share as any other."""
        self.most = most
        self.taken = 0
        """Bytes that are held just now."""
        self._within = within
        self._held: Counter[Hashable] = Counter()

    def part(self) -> "AnswerBudget":
        """For one of those that share this budget, with holders of its own."""
        return AnswerBudget(self.most, within=self)

    def hold(self, holder: Hashable) -> "Hold":
        """Memory for a purpose of this holder's; none at first."""
        return Hold(self, holder)

    def take(self, holder: Hashable, more: int) -> None:
        """So many bytes more; less than nothing gives some back. Raises `TooLarge` where there are not so many."""
        if more > 0 and not self._has_room(more) and self._held[holder] + more > self._share(holder):
            raise TooLarge(
                f"its answer was dropped, because all that are read at once may take {self.most / 2**20:.0f} MiB of "
                "memory"
            )
        self._add(holder, more)

    def _has_room(self, more: int) -> bool:
        return self._within._has_room(more) if self._within else self.taken + more <= self.most  # noqa: SLF001 - its own kind

    def _share(self, holder: Hashable) -> float:
        """Bytes that a holder may have whatever the others have."""
        ours = self._within._share(self) if self._within else self.most  # noqa: SLF001 - its own kind
        return ours / (len(self._held) + (holder not in self._held))

    def _add(self, holder: Hashable, more: int) -> None:
        if self._within:
            self._within._add(self, more)  # noqa: SLF001 - its own kind
        self.taken += more
        self._held[holder] += more
        if self._held[holder] <= 0:
            del self._held[holder]


class Hold:
    """What one holder has of a budget for one purpose. At the end of a `with` it has nothing any more."""

    def __init__(self, budget: AnswerBudget, holder: Hashable) -> None:
        """Nothing at first. Several of one holder count as one."""
        self.budget, self.holder = budget, holder
        self._bytes = 0

    def take(self, more: int) -> None:
        """As `AnswerBudget.take`."""
        self.budget.take(self.holder, more)
        self._bytes += more

    def set(self, bytes_: int) -> None:
        """Hold so many, all in all. Raises as `take`, and never where they are fewer than before."""
        self.take(bytes_ - self._bytes)

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give everything back."""
        self.set(0)
