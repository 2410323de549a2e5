"""A route that seems to have been lowered is looked at a second time before anybody is accused of it."""

from canary.errors import ExternalError, Unavailable
from canary.rollout import Phase, Reason
from canary.snapshot import RouteStatus
from canary.weights import ALL_STABLE, Weights
from testing.memory_adapters import MemoryRouter
from tests.controlplane.reconcile.desk import Desk, Hand

FIVE, HALF = Weights.of_share(0.05), Weights.of_share(0.5)


class Lagging(MemoryRouter):
    """A router that is read through a copy, as those of a cluster are through a cache."""

    def __init__(self, clock: Hand) -> None:
        super().__init__(clock.now)
        self.copy: Weights | None = None
        """What the copy says while it is behind; None while it is not."""
        self.failure: ExternalError | None = None
        self.confirmed = 0

    async def seen(self) -> RouteStatus:
        """What the copy has."""
        true = await super().seen()
        return true if self.copy is None else RouteStatus(true.at, self.copy)

    async def confirm(self) -> None:
        """Bring the copy up to date."""
        self.confirmed += 1
        if self.failure:
            raise self.failure
        self.copy = None


async def at_half() -> tuple[Desk, Lagging]:
    """A rollout at 50 %, and a controller that has just begun, with a copy of the route from before the last shift."""
    desk = Desk()
    router = Lagging(desk.clock)
    desk.router = router  # type: ignore[assignment]  # the desk's own is one in memory too
    desk.restart()
    await desk.until(Phase.ANALYZING, stage=1)
    desk.restart()
    router.copy = FIVE
    return desk, router


async def test_a_new_controllers_old_copy_of_the_route_takes_no_traffic_away() -> None:
    desk, router = await at_half()
    await desk.passes(1)
    assert (desk.rollout.phase, desk.rollout.weights) == (Phase.ANALYZING, HALF)
    assert router.confirmed == 1
    await desk.until(Phase.SUCCEEDED)
    assert router.confirmed == 1
    shares = [weights for _, weights in router.history]
    assert shares == sorted(shares)


async def test_a_route_that_was_really_lowered_is_still_a_rollback_in_the_same_pass() -> None:
    desk, router = await at_half()
    await router.set_weights(FIVE)
    await desk.passes(1)
    reasons = [event.reason for event in desk.rollout.history if event.event == "phase"]
    assert reasons[-1] == Reason.ROUTE_LOWERED
    assert router.history[-1][1] == ALL_STABLE


async def test_while_the_route_cannot_be_read_anew_nobody_is_accused_and_nothing_rises() -> None:
    desk, router = await at_half()
    router.failure = Unavailable("the API server does not answer.")
    await desk.passes(3)
    assert (desk.rollout.phase, desk.rollout.weights) == (Phase.ANALYZING, HALF)
    assert router.history[-1][1] == HALF
    assert desk.said[-1] == (
        "The route looks lowered, and cannot be read anew: the API server does not answer. "
        "Nothing is moved before that."
    )
    router.failure = None
    await desk.until(Phase.SUCCEEDED)


async def test_a_route_that_was_lowered_and_really_is_stays_down_while_it_cannot_be_read_anew() -> None:
    desk, router = await at_half()
    await router.set_weights(FIVE)
    router.failure = Unavailable("the API server does not answer.")
    await desk.passes(3)
    assert router.history[-1][1] == FIVE


async def test_a_rollback_for_another_reason_does_not_wait_for_the_second_look() -> None:
    desk, router = await at_half()
    desk.platform.lose("canary", "exit status 1")
    await desk.passes(1)
    assert router.confirmed == 0
    assert router.history[-1][1] == ALL_STABLE
