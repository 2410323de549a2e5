"""Whether the API server vouches for who a request is from: looks for the admission policy that compares names.

Run by `operator.py`, asked by `store.py` for each request. The policy is `request_policy.yaml` beside this, and the
chart installs it. Only that very text counts: one that somebody has changed may let anything through. Without it a
request's `by` is what its sender wrote, and is shown as that.
"""

from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from canary.errors import ExternalError
from controlplane.kubernetes.api import Kube, NotFound, Object, Rejected, Resource
from controlplane.kubernetes.resources import ADMISSION_POLICY, ADMISSION_POLICY_BINDING
from controlplane.ports import Clock

FILE = Path(__file__).with_name("request_policy.yaml")
NAME = "requests.serinus.dev"
EVERY = 15.0
"""Seconds between two looks."""
SETTLES = 10.0
"""Seconds after which every API server heeds a policy that was just made."""
RETRY = 1.0


@cache
def expected() -> dict[Resource, Object]:
    """The policy and its binding, as they have to be."""
    policy, binding = yaml.safe_load_all(FILE.read_text(encoding="utf-8"))
    return {ADMISSION_POLICY: policy, ADMISSION_POLICY_BINDING: binding}


class RequestPolicy:
    """What was found at the last look."""

    def __init__(self, kube: Kube, clock: Clock, say: Callable[[str], None]) -> None:
        """`say` hears a sentence whenever it is another than before."""
        self._kube, self._clock, self._say = kube, clock, say
        self.in_force = False
        """Whether names and groups in requests are those that the API server knows the sender by."""
        self._said = ""

    async def known(self) -> None:
        """Return once that is known: until then nobody may lead, or a restart would be a way around it."""
        while not await self.look():
            await self._clock.sleep(RETRY)

    async def run(self) -> None:
        """Look again now and then, for ever."""
        while True:
            await self._clock.sleep(EVERY)
            await self.look()

    async def look(self) -> bool:
        """Look now; answers whether the API server told. What is known stays while it does not."""
        try:
            problem = await self._problem()
        except ExternalError:
            return False
        self.in_force = not problem
        sentence = (
            f"Who a request is from cannot be verified: {problem}. Names are shown as their senders write them, and "
            "`approve` takes anybody's word. The chart's requestPolicy installs what is missing."
            if problem
            else "Who a request is from is verified by the API server."
        )
        if sentence != self._said:
            self._said = sentence
            self._say(sentence)
        return True

    async def _problem(self) -> str:
        for resource, wanted in expected().items():
            what = f"{resource.kind} {NAME}"
            try:
                found = await self._kube.get(resource, None, NAME)
            except NotFound:
                return f"{what} is not there"
            except Rejected:
                return f"{what} may not be read"
            if found.get("spec") != wanted["spec"]:
                return f"{what} is not as this operator knows it"
            if self._clock.now() - _seconds(found["metadata"].get("creationTimestamp")) < SETTLES:
                return f"{what} has only just been made"
        return ""


def _seconds(timestamp: Any) -> float:
    try:
        return datetime.fromisoformat(str(timestamp)).timestamp()
    except ValueError:
        return float("-inf")
