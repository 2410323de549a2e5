"""Answers to the queries that people write into gates, for all rollouts: asked once a tick, whoever wrote them.

Used by `shared_prometheus.py`. A query that takes long delays nobody: its answer counts at the first tick after it
came, once, and it is not asked again before. Namespaces take turns, each has a few places at most, and those whose
queries are slow share half of all places and rest between two of them: one tenant's slow queries do not keep another's
gate waiting. What an answer means for each arm is `prometheus_gates.py`'s business.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from canary.errors import ExternalError
from canary.spec.models import Gate
from canary.weights import Arm
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_gates import OwnNumbers, arms_by_name, own_numbers, query_of
from controlplane.adapters.prometheus_series import PrometheusSeries

Spawn = Callable[[Coroutine[Any, Any, None]], object]
Answer = list[PrometheusSeries] | ExternalError


LONGEST_QUERY_S = 3.0
"""Seconds that a gate's query may take."""
MOST_BYTES_OF_A_QUERY = 256 * 1024
"""A gate needs one number for each variant, or a few series."""
OF_A_NAMESPACE = 2
"""Places that one namespace may have at the same time; one, while its queries are slow."""
SLOW_S = 0.5
RESTS = 4.0
"""A slow query is left alone for so many times as long as it took."""


class GateQueryRunner:
    """At most `at_once` questions at the same time, and none twice."""

    def __init__(self, api: PrometheusApi, spawn: Spawn | None, *, at_once: int) -> None:
        """`spawn` starts a coroutine in the background; None waits for each instead, as simulations want it."""
        self._api = api
        self._spawn = spawn
        self._at_once = at_once
        self._waiting: dict[str, deque[str]] = {}
        """Queries by the namespace that asks, whose turn is next first."""
        self._busy: Counter[str] = Counter()
        """Places taken, by namespace."""
        self._slow: set[str] = set()
        """Namespaces whose last query was slow."""
        self._slow_places = 0
        self._rested: dict[str, float] = {}
        """When a slow query may be asked again."""
        self._asked: set[str] = set()
        self._answers: dict[str, Answer] = {}
        self._settled = asyncio.Event()

    async def ask(self, queries: Mapping[str, str]) -> None:
        """Ask what is not being asked already; `queries` are those of now, each with the namespace that asks."""
        now = _now()
        self._rested = {query: at for query, at in self._rested.items() if query in queries and at > now}
        for query, namespace in queries.items():
            if query in self._asked or query in self._rested:
                continue
            self._asked.add(query)
            if self._spawn is None:
                await self._ask(query)
            else:
                self._settled.clear()
                self._waiting.setdefault(namespace, deque()).append(query)
        self._begin()

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

    def _begin(self) -> None:
        """Ask as many as there are places for."""
        while self._spawn is not None and (namespace := self._next()) is not None:
            queries = self._waiting.pop(namespace)
            query = queries.popleft()
            if queries:
                self._waiting[namespace] = queries  # behind all others
            slow = namespace in self._slow
            self._busy[namespace] += 1
            self._slow_places += slow
            self._spawn(self._in_its_place(query, namespace, slow=slow))

    def _next(self) -> str | None:
        """Whose turn it is; None where nobody may have a place."""
        if self._busy.total() >= self._at_once:
            return None
        for namespace in self._waiting:
            if namespace not in self._slow:
                if self._busy[namespace] < OF_A_NAMESPACE:
                    return namespace
            elif self._busy[namespace] == 0 and self._slow_places < self._at_once // 2:
                return namespace
        return None

    async def _in_its_place(self, query: str, namespace: str, *, slow: bool) -> None:
        began = _now()
        try:
            await self._ask(query)
        finally:
            took = _now() - began
            self._busy[namespace] -= 1
            self._slow_places -= slow
            (self._slow.add if took >= SLOW_S else self._slow.discard)(namespace)
            if took >= SLOW_S:
                self._rested[query] = _now() + RESTS * took
            self._begin()

    async def _ask(self, query: str) -> None:
        seconds = min(self._api.seconds, LONGEST_QUERY_S)
        try:
            self._answers[query] = await self._api.query(query, seconds=seconds, most_bytes=MOST_BYTES_OF_A_QUERY)
        except ExternalError as error:
            self._answers[query] = error
        finally:
            self._asked.discard(query)
            if not self._asked:
                self._settled.set()


def read(gates: Iterable[Gate], answers: Mapping[str, Answer], names: Mapping[Arm, str]) -> OwnNumbers:
    """What the answers say of those gates that bring PromQL of their own."""
    asking = [gate for gate in gates if gate.asks]
    late = ExternalError("its query has not been answered yet")
    return own_numbers([(gate, answers.get(query_of(gate), late)) for gate in asking], arms_by_name(names))


def _now() -> float:
    """Seconds by a clock that nobody sets: a query that rests is not to rest for hours because of one that was."""
    return asyncio.get_running_loop().time()
