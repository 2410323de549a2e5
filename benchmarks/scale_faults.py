"""The stories of `scale.py` in which something around the rollouts breaks: Prometheus, the sink of alerts, the leader.

Nobody may be rolled back for a fault of Prometheus, and none may delay a rollback for longer than it lasts: a canary
that breaks while nothing can be read is rolled back once it can be read again, and one whose alerts go to a sink that
hangs as fast as any.
"""

import asyncio
import base64
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.scale_prometheus import Fault
from benchmarks.scale_sink import HangingSink
from benchmarks.scale_stage import Stage, named, route_of, spread
from benchmarks.scale_world import NAMESPACE, Operator
from controlplane.kubernetes.resources import SECRET

FAULTS: Sequence[Fault] = ("down", "500", "empty", "nan", "slow")
BEFORE_ITS_END_S = 5.0
"""A canary breaks so long before the fault is over: nobody can know of it."""
SINK, KEY = "sink", "url"
ALERTS = [{"webhook": {"urlFrom": {"secret": SINK, "key": KEY}}}]
SINK_HANGS_S = 30.0
LEADING_S = 8.0
"""Seconds that a standby stands by at least before the leader goes,"""
READY_S = 120.0
"""and that it has at most to make all rollouts ready."""


async def faults(stage: Stage, rollouts: int, flips: int, gates: Sequence[Any], fault_s: float) -> dict[str, Any]:
    """Each fault for a minute, with a sink of alerts that hangs all the while; then breaches one at a time."""
    names, operator = named("faults", rollouts), stage.operator()
    broken, left = names[: len(FAULTS)], names[len(FAULTS) :]
    found: dict[str, Any] = {}
    async with HangingSink(SINK_HANGS_S) as sink:
        try:
            await stage.kube.create(SECRET, _secret(sink.url))
            await stage.begin(names, gates, alerts=ALERTS)
            for fault, canary in zip(FAULTS, broken, strict=True):
                await asyncio.sleep(5)
                found[fault] = {"rollback after the fault, s": round(await _fault(stage, fault, canary, fault_s), 2)}
                lost = [name for name in left if stage.watch.at_zero(name) is not None]
                found[fault]["false rollbacks"] = len(lost)
                print(f"  {fault} for {fault_s:g} s: {found[fault]}, of {len(left)} that are well", flush=True)
            found["alerts hang"] = spread(await stage.one_by_one(left[:flips])) | {"asked the sink": sink.asked}
            return found
        finally:
            operator.stop()
            await stage.kube.delete(SECRET, NAMESPACE, SINK)
            await stage.clear()


async def _fault(stage: Stage, fault: Fault, canary: str, seconds: float) -> float:
    """One fault, in which this canary breaks; seconds from its end to the canary without traffic."""
    prometheus = stage.prometheus
    if fault == "down":
        await prometheus.close()
    else:
        prometheus.fault = fault
    await asyncio.sleep(seconds - BEFORE_ITS_END_S)
    prometheus.fail(route_of(canary), 1.0)
    await asyncio.sleep(BEFORE_ITS_END_S)
    if fault == "down":
        await prometheus.open()
    prometheus.fault = ""
    over = time.time()
    await stage.watch.until(f"the rollback of {canary} after {fault}", [canary], zero=True, seconds=60)
    return stage.watch.changed[canary] - over


async def leader(stage: Stage, rollouts: int, _flips: int, gates: Sequence[Any], _fault_s: float) -> dict[str, Any]:
    """Two operators; the one that leads is killed, or stopped in order, and a canary breaches at that moment.

    The other one has every rollout ready by then, as one that has stood by for a while.
    """
    names, ready = named("leader", rollouts), list[float]()
    found: dict[str, list[float]] = {"kill -9": [], "stopped": []}
    operators = [stage.operator("first", elect=True)]
    try:
        await stage.begin(names, gates)
        for number, name in enumerate(names[:6]):
            operators.append(stage.operator(f"standby-{number}", elect=True))
            ready.append(await _made_ready(operators[-1], rollouts - number))
            how = "kill -9" if number % 2 == 0 else "stopped"
            leading = operators.pop(0)
            if how == "kill -9":
                leading.stop(kill=True)
            else:
                leading.process.terminate()
            found[how].append(await stage.flip(name))
            await asyncio.to_thread(leading.process.wait, 30)
            print(f"  {how}: rolled back {found[how][-1]:.2f} s after; ready in {ready[-1]:.1f} s", flush=True)
        times = {f"leader {how}": spread(values) for how, values in found.items()}
        return {**times, "standby ready after its start": spread(ready)}
    finally:
        for operator in operators:
            operator.stop()
        await stage.clear()


async def _made_ready(standby: Operator, rollouts: int) -> float:
    """Wait until a standby that was just started has all of these ready; answers how long that took."""
    began = time.monotonic()
    while await asyncio.to_thread(standby.ready) < rollouts and time.monotonic() - began < READY_S:  # noqa: ASYNC110 - the fact is in another process
        await asyncio.sleep(0.2)
    took = time.monotonic() - began
    await asyncio.sleep(LEADING_S - took)
    return took


def _secret(url: str) -> dict[str, Any]:
    """Holds the address that alerts go to."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SINK, "namespace": NAMESPACE},
        "data": {KEY: base64.b64encode(url.encode()).decode()},
    }
