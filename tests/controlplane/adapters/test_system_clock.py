"""The only clock that is real."""

import time

from controlplane.adapters.system_clock import SystemClock


async def test_it_is_the_machines_time_and_a_negative_wait_is_none() -> None:
    clock = SystemClock()
    before = time.time()
    await clock.sleep(-1)
    assert before <= clock.now() <= time.time()
