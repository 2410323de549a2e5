"""Which names the metrics of a rollout have, where its plan does not say: found out once, while its variants load.

Used by `cluster_environments.py`. Asks Prometheus what it has (`controlplane.evidence.discover`), in the background and
not for long; as long as nobody can say, the mode's own default is read, and from the start where that is the best
witness there is: a leader that takes rollouts over sees them at its first tick. A profile that counts is never
exchanged under a rollout, because a change from one counter to another looks like traffic.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from canary.errors import BadInput, ExternalError
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.evidence.discover import Choice, Discovery
from controlplane.evidence.metric_locations import Labels
from controlplane.ports import Clock

SECONDS = 5.0
"""For one look, all of its questions together."""
FRESH = 30.0
"""Seconds for which an answer counts for other rollouts beside it: a leader may take over hundreds at once."""
AGAIN = (5.0, 15.0, 60.0)
"""Seconds until the next look, where the one before found nothing; the last one for ever after."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be found out."""

    api: PrometheusApi
    namespace: str
    among: Sequence[str]
    """Profiles that can tell the variants apart, the best witness first."""
    default: str
    labels: Labels


@dataclass(frozen=True, slots=True)
class DiscoveredProfile:
    """A profile, and why this one, in a sentence."""

    profile: str
    sentence: str
    sure: bool = True
    """Whether somebody has looked and seen it; a guess otherwise."""


Find = Callable[[Question], Awaitable[Choice]]


async def look(question: Question) -> Choice:
    """What there is in a Prometheus. Raises `ExternalError`, `BadInput` or `TimeoutError` where nobody can say."""
    async with asyncio.timeout(SECONDS):
        discovery = Discovery(question.api, question.labels)
        ours_to_come = question.default == "envoy-gateway"
        return await discovery.choice(question.namespace, among=question.among, ours_to_come=ours_to_come)


class CachedDiscovery:
    """Looks at each Prometheus one after the other, and once for all rollouts that want to know the same."""

    def __init__(self, find: Find, clock: Clock) -> None:
        self._find, self._clock = find, clock
        self._turns: WeakKeyDictionary[PrometheusApi, asyncio.Lock] = WeakKeyDictionary()
        """One that hangs keeps nobody from looking at another; one that nobody asks any more is forgotten."""
        self._answers: WeakKeyDictionary[PrometheusApi, dict[tuple[str, str], tuple[float, Choice]]] = (
            WeakKeyDictionary()
        )

    async def __call__(self, question: Question) -> Choice:
        """The answer; raises as `look` does."""
        key, answers = (question.namespace, question.default), self._answers.setdefault(question.api, {})
        async with self._turns.setdefault(question.api, asyncio.Lock()):
            at, choice = answers.get(key, (float("-inf"), None))
            if choice is None or not 0 <= self._clock.now() - at <= FRESH:  # the clock may have been set back
                choice = await self._find(question)
                answers[key] = self._clock.now(), choice
        return choice


def guess(question: Question, why: str = "nobody looked") -> DiscoveredProfile:
    """The mode's default."""
    return DiscoveredProfile(
        question.default,
        f"Numbers are read by the metrics profile {question.default}, this mode's default: {why.rstrip('.')}. "
        "platform.kserve.metricsProfile says another.",
        sure=False,
    )


async def search(question: Question, find: Find, clock: Clock, take: Callable[[DiscoveredProfile], bool]) -> None:
    """Look until something is found. `take` gets the default first where that takes longer; False: nobody waits."""
    looks = 0
    while True:
        try:
            choice = await find(question)
        except (ExternalError, BadInput) as error:
            choice = Choice(None, str(error))
        except TimeoutError:
            choice = Choice(None, f"Prometheus did not say within {SECONDS:g} s what it has")
        if choice.profile is not None:
            sentence = f"Numbers are read by the metrics profile {choice.profile}: {choice.reason}."
            take(DiscoveredProfile(choice.profile, sentence))
            return
        if not take(guess(question, choice.reason)):
            return
        await clock.sleep(AGAIN[min(looks, len(AGAIN) - 1)])
        looks += 1
