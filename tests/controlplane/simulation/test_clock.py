"""Virtual time: hours pass at once, in their true order, and waiting for nothing is an error."""

import asyncio

import pytest

from controlplane.simulation.clock import EPOCH, VirtualClock, play


def test_r14_sleeps_and_timeouts_end_in_their_true_order() -> None:
    """A timeout of five seconds wins over a sleep of a day."""
    order: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await VirtualClock().sleep(seconds)
        order.append(name)

    async def impatient() -> None:
        try:
            async with asyncio.timeout(5):
                await asyncio.sleep(86400)
        except TimeoutError:
            order.append("timeout")

    async def story() -> float:
        await asyncio.gather(sleeper("late", 9.0), impatient(), sleeper("early", 1.0))
        return VirtualClock().t

    assert play(story()) == pytest.approx(9.0)
    assert order == ["early", "timeout", "late"]


def test_every_simulation_begins_at_the_same_moment() -> None:
    """So its story is the same on every day."""

    async def now() -> float:
        return VirtualClock().now()

    assert play(now()) == EPOCH


def test_r14_a_clock_can_be_wrong() -> None:
    """Time itself goes on evenly."""

    async def read() -> tuple[float, float]:
        clock = VirtualClock(lambda t: -600.0 if t >= 10 else 0.0)
        await clock.sleep(20)
        return clock.t, clock.now() - EPOCH

    assert play(read()) == pytest.approx((20.0, -580.0))


def test_a_simulation_in_which_everybody_waits_says_so() -> None:
    """Instead of hanging."""

    async def forever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="waits for something that never happens"):
        play(forever())


def test_what_threads_do_is_done_in_place_and_takes_no_time() -> None:
    """Its answer or its error comes back as from a thread."""

    async def story() -> tuple[float, int]:
        answer = await asyncio.to_thread(divmod, 7, 2)
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(divmod, 7, 0)
        return VirtualClock().t, answer[0]

    assert play(story()) == (0.0, 3)
