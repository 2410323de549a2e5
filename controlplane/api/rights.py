"""What each person may do with rollouts, as the API server says it: a SubjectAccessReview for every question.

Used by `cluster.py` where people come with tokens of their own. Reading is `get`, `list` and `watch` on
`modelcanaries`, and `list` on pods for those of a rollout; asking for something is `patch`, which `kubectl canary`
needs as well, or `create` on the verb as a subresource (`modelcanaries/pause`), so that a role can allow one thing and
not another. Keeps an answer for seconds at most, and none about an action.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import NamedTuple

from canary.errors import ExternalError
from controlplane.api.door import Person
from controlplane.api.problem import HttpProblem
from controlplane.kubernetes.api import Kube, Resource
from controlplane.kubernetes.resources import MODEL_CANARY, POD

REVIEW = Resource("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False)
READS = frozenset({"get", "list", "watch"})
FRESH = 10.0
"""Seconds for which an answer about reading counts."""
RECHECKED = 30.0
"""Seconds between two questions whether somebody may still watch what they are watching."""
MOST_KEPT = 20_000
AT_ONCE = 16
"""Questions under way at the same time."""
LOST = b'event: problem\ndata: {"detail": "Whether you may watch this cannot be asked now. It is tried again."}\n\n'


class Act(NamedTuple):
    """What somebody may do or not."""

    verb: str
    namespace: str = ""
    """Empty for all of them."""
    name: str = ""
    """Empty for all there are."""
    subresource: str = ""
    of: Resource = MODEL_CANARY


class Rights:
    """Asks for everybody."""

    def __init__(self, kube: Kube, now: Callable[[], float]) -> None:
        """`now`: seconds; only differences count."""
        self._kube, self._now = kube, now
        self._known: dict[tuple[object, ...], tuple[float, bool]] = {}
        self._places = asyncio.Semaphore(AT_ONCE)

    async def demand(self, person: Person, to: str, namespace: str, name: str) -> None:
        """Raise `HttpProblem` (403) unless this person may see this ModelCanary and do this to it."""
        if not await self._allowed(person, Act("get", namespace, name)):
            raise HttpProblem(
                403,
                "Not allowed",
                f"{person.name} may not see the rollouts of namespace {namespace}: that needs the role view.",
            )
        if to == "get" or (to in READS and await self._allowed(person, Act(to, namespace, name))):
            return
        if to in READS or not await self._may_ask(person, to, namespace, name):
            raise HttpProblem(
                403,
                "Not allowed",
                f"{person.name} may not {to} {name} in namespace {namespace}: that needs the role edit there, or "
                f"create on modelcanaries/{to}. Nothing was changed.",
            )

    async def verbs(self, person: Person, namespace: str, name: str, verbs: Sequence[str]) -> Sequence[str]:
        """Those of the verbs that this person may ask for."""
        if await self._allowed(person, Act("patch", namespace, name)):
            return verbs
        acts = [Act("create", namespace, name, each) for each in verbs]
        answers = await asyncio.gather(*(self._allowed(person, each) for each in acts))
        return [verb for verb, allowed in zip(verbs, answers, strict=True) if allowed]

    async def sees_pods(self, person: Person, namespace: str) -> bool:
        """Whether this person may list the pods of this namespace."""
        return await self._allowed(person, Act("list", namespace, of=POD))

    async def namespaces(self, person: Person, there: Iterable[str]) -> set[str]:
        """Those of the namespaces whose rollouts this person may list."""
        if await self._allowed(person, Act("list")):
            return set(there)
        named = sorted(there)
        answers = await asyncio.gather(*(self._allowed(person, Act("list", each)) for each in named))
        return {namespace for namespace, allowed in zip(named, answers, strict=True) if allowed}

    async def _may_ask(self, person: Person, verb: str, namespace: str, name: str) -> bool:
        """Asked anew each time: who lost a right a moment ago does not act."""
        acts = Act("patch", namespace, name), Act("create", namespace, name, verb)
        return await self._asked(person, acts[0]) or await self._asked(person, acts[1])

    async def _allowed(self, person: Person, act: Act) -> bool:
        key = (person.name, person.uid, person.groups, tuple(sorted(person.extra.items())), act)
        known, now = self._known.get(key), self._now()
        if known is not None and 0 <= now - known[0] < FRESH:
            return known[1]
        answer = await self._asked(person, act)
        if len(self._known) >= MOST_KEPT:
            self._known.clear()
        self._known[key] = (now, answer)
        return answer

    async def _asked(self, person: Person, act: Act) -> bool:
        attributes = {
            "group": act.of.group,
            "version": act.of.version,
            "resource": act.of.plural,
            "verb": act.verb,
            "namespace": act.namespace,
            "name": act.name,
            "subresource": act.subresource,
        }
        spec = {
            "user": person.name,
            "uid": person.uid,
            "groups": list(person.groups),
            "extra": {key: list(values) for key, values in person.extra.items()},
            "resourceAttributes": {key: value for key, value in attributes.items() if value},
        }
        async with self._places:
            told = await self._kube.create(REVIEW, {"metadata": {}, "spec": spec})
        status = told.get("status") or {}
        return status.get("allowed") is True and status.get("denied") is not True


async def kept(messages: AsyncGenerator[bytes], demand: Callable[[], Awaitable[None]]) -> AsyncGenerator[bytes]:
    """The messages, as long as `demand` raises nothing; it is asked every now and then.

    While it cannot be asked, what comes is held back; the stream is then ended, and whoever comes back misses nothing.
    """
    loop = asyncio.get_running_loop()
    asked, held = loop.time(), False
    async with aclosing(messages):
        async for message in messages:
            if loop.time() - asked >= RECHECKED:
                try:
                    await demand()
                except HttpProblem:
                    return
                except ExternalError:
                    held = True
                else:
                    if held:
                        return
                    asked = loop.time()
            yield LOST if held else message
