"""One rollout as everything drives it: guarded looks at the world, a pass, and the invariants checked at each decision.

The only driver of `Reconciler`. The program for one machine, the operator and the simulation make one for each rollout;
they differ in adapters, and in the scheduler that says when it looks and when the next pass comes. Replay needs none:
its world is a record, and it calls `canary.machine.advance` itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from canary import invariants
from canary.errors import ExternalError
from canary.rollout import Decision, Rollout
from canary.spec.models import ModelCanary
from controlplane.ports import Ports
from controlplane.reconcile.loop import SAVE_EVERY, Reconciler, Say, Spawn

FactReader = Callable[[], Awaitable[None]]
"""Makes one kind of fact fresh."""


class ManagedRollout:
    """From its first pass to its end."""

    def __init__(
        self,
        plan: ModelCanary,
        *,
        text: str,
        revision: str,
        ports: Ports,
        interval: float,
        say: Say | None = None,
        spawn: Spawn | None = None,
        save_every: float = SAVE_EVERY,
        superseded_by: str = "",
    ) -> None:
        """`text`: the plan as the store keeps it; `interval`: seconds between two readings of the numbers.

        `spawn`, `save_every`: see `Reconciler`; `superseded_by`: revision of the plan that waits for this one's end.
        """
        self.reconciler = Reconciler(
            name=plan.metadata.name,
            spec=plan.spec,
            spec_text=text,
            revision=revision,
            ports=ports,
            scrape_interval=interval,
            say=say,
            spawn=spawn,
            save_every=save_every,
            on_decision=self._check,
        )
        self.board = self.reconciler.board
        self.clock = ports.clock
        self.supersede(superseded_by)

    @property
    def rollout(self) -> Rollout | None:
        """Its present state; None before the first pass."""
        return self.reconciler.rollout

    @property
    def done(self) -> bool:
        """Whether it is finished, saved and announced."""
        return self.reconciler.done

    def supersede(self, by: str) -> None:
        """A newer plan, by its revision, waits for this one to give its traffic back; empty: it does not any more."""
        self.board.superseded_by = by

    async def read(self, fact: FactReader, seconds: float | None = None) -> bool:
        """Make one kind of fact fresh; answers whether that took place. Never raises: the others are worth deciding on.

        `seconds`: after so many it is given up, and the fact only grows old; its age is judged elsewhere.
        """
        name = getattr(fact, "__name__", "a look")
        try:
            async with asyncio.timeout(seconds):
                await fact()
        except ExternalError as error:
            self.reconciler.tell(name, f"{error} It is tried again.")
            return False
        except Exception as error:  # noqa: BLE001 - a bug in one adapter must not leave the canary unwatched
            if seconds is None or not isinstance(error, TimeoutError):
                why = f"A bug of ours in {name}: {error!r}. The rollout goes on without that fact; please report it."
                self.reconciler.tell(name, why)
            return False
        return True

    async def read_everything(self) -> None:
        """All facts, one after the other. Raises whatever an adapter raises that the board does not expect."""
        await self.board.look()

    async def decide(self) -> float:
        """One pass upon the facts as they are; answers in how many seconds the next is due at the latest."""
        return await self.reconciler.once() - self.clock.now()

    def on_broken(self, wrong: Sequence[str]) -> None:
        """Invariants broke. They stay checked in production: that is said, and the rollout stays watched."""
        self.reconciler.tell("invariants", f"A bug of ours, please report it: {'; '.join(wrong)}.")

    def on_decision(self, before: Rollout, decision: Decision) -> None:
        """Called in each pass, with the state before it; for those that count or watch."""

    def _check(self, before: Rollout, decision: Decision) -> None:
        if wrong := invariants.broken(self.reconciler.spec, before, self.board.seen(), decision):
            self.on_broken(wrong)
        self.on_decision(before, decision)
