"""A town: a repository, a machine that ends rollouts at once, and a controller between them, for tests of commits.

Real git on this disk and real stores; only the machine is a quick one.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from canary.spec.models import ModelCanary
from controlplane.gitops.follow import follow
from controlplane.gitops.git_state import PlanOrigin
from controlplane.gitops.hosts.settings import GitSettings
from controlplane.gitops.paths import Pattern
from controlplane.gitops.remote import Remote, remote
from controlplane.program import Audience
from tests.controlplane.gitops.machine import Machine
from tests.controlplane.gitops.origin import Origin as Repository

FILE = """\
# {name}: ask Ann
apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {{name: {name}}}
spec:
  model: {{name: m}}
  platform: {{local: {{listen: "127.0.0.1:0"}}}}
  stable:
    name: v1       # in service
    command: [serve, "{{port}}", --model, v1]
  canary:
    name: {canary}   # tried
    command: [serve, "{{port}}", --model, {canary}]
  stages: [{{traffic: 25%}}, {{traffic: 100%}}]   # two
"""


def file(name: str, canary: str) -> str:
    """A canary.yml that tries this canary."""
    return FILE.format(name=name, canary=canary)


def nobody(_plan: ModelCanary, _origin: PlanOrigin | None) -> Audience:
    """Nobody watches."""
    return Audience()


class Town:
    """A repository, a machine and a controller between them."""

    def __init__(self, folder: Path, repository: str = "origin.git") -> None:
        self.folder = folder
        self.origin = Repository(folder / repository)
        self.settings = GitSettings()
        self.machine = Machine()
        self.said: list[str] = []

    @asynccontextmanager
    async def controller(self, state: str = "state", there: Remote | None = None) -> AsyncIterator[asyncio.Event]:
        """A controller follows the repository while the block runs; at its end it is told to leave."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                follow(
                    there or remote(self.origin.url, local=True),
                    Pattern("apps/*/canary.yml"),
                    state=self.folder / state,
                    rollouts=lambda name: self.folder / f"{state}-{name}",
                    stop=stop,
                    say=self.said.append,
                    audience=nobody,
                    interval=0.05,
                    carry_out=self.machine,
                    settings=self.settings,
                )
            )
            try:
                yield stop
            finally:
                stop.set()

    async def until(self, what: Callable[[], object], seconds: float = 60.0) -> None:
        """Wait until this is so."""
        try:
            async with asyncio.timeout(seconds):
                while not what():  # noqa: ASYNC110 - what is waited for happens in git, which tells nobody
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError("\n".join(self.said) or "nothing was said") from None

    async def until_said(self, *words: str) -> str:
        """Wait for a sentence with all these words; answers it."""
        await self.until(lambda: self._with(*words))
        return self._with(*words)[0]

    async def until_commits(self, count: int) -> None:
        """Wait until the repository has so many commits on its branch."""
        await self.until(lambda: len(self.log()) >= count)

    def log(self) -> list[str]:
        """Subjects, newest first."""
        return self.origin.git("log", "--format=%s", self.origin.branch).splitlines()

    def _with(self, *words: str) -> list[str]:
        return [sentence for sentence in self.said if all(word in sentence for word in words)]
