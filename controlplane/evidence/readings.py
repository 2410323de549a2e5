"""Answers to the queries that people write into gates, for all rollouts: asked once a tick, whoever wrote them.

Used by `fleet.py`. A query that takes long delays nobody: its answer counts at the first tick after it came, once, and
it is not asked again before. What an answer means for each arm is `prometheus_gates.py`'s business.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from canary.errors import WorldError
from canary.spec.models import Gate
from canary.weights import Arm
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_gates import Reading, arms_by_name, query_of, reading
from controlplane.adapters.prometheus_series import Series

Spawn = Callable[[Coroutine[Any, Any, None]], object]
Answer = list[Series] | WorldError


class Readings:
    """At most `at_once` questions at the same time, and none twice."""

    def __init__(self, api: PrometheusApi, spawn: Spawn | None, *, at_once: int) -> None:
        """`spawn` starts a coroutine in the background; None waits for each instead, as simulations want it."""
        self._api = api
        self._spawn = spawn
        self._free = asyncio.Semaphore(at_once)
        self._asked: set[str] = set()
        self._answers: dict[str, Answer] = {}
        self._settled = asyncio.Event()

    async def ask(self, queries: Iterable[str]) -> None:
        """Ask what is not being asked already."""
        for query in set(queries) - self._asked:
            self._asked.add(query)
            if self._spawn is None:
                await self._ask(query)
            else:
                self._settled.clear()
                self._spawn(self._ask(query))

    async def taken(self, patience: float) -> Mapping[str, Answer]:
        """What was answered since the last time, by query; waits so many seconds for what is still asked."""
        if self._asked:
            try:
                async with asyncio.timeout(patience):
                    await self._settled.wait()
            except TimeoutError:
                pass  # those answers count at a later tick
        answers, self._answers = self._answers, {}
        return answers

    async def _ask(self, query: str) -> None:
        try:
            async with self._free:
                self._answers[query] = await self._api.query(query)
        except WorldError as error:
            self._answers[query] = error
        finally:
            self._asked.discard(query)
            if not self._asked:
                self._settled.set()


def read(gate: Gate, answers: Mapping[str, Answer], names: Mapping[Arm, str]) -> Reading:
    """What the answers say of this gate."""
    answer = answers.get(query_of(gate))
    if answer is None:
        return Reading({}, f"{gate.text}: its query has not been answered yet")
    if isinstance(answer, WorldError):
        return Reading({}, f"{gate.text}: {answer}")
    return reading(gate.text, answer, arms_by_name(names))
