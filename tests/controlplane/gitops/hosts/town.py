"""A town whose repository is on a host with an API: git over HTTP and the host's requests, both with the same token."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controlplane.gitops import commit_outbox, pull_requests
from controlplane.gitops.git_state import GitState, GitStateStore
from controlplane.gitops.hosts.settings import GitSettings, Write
from controlplane.gitops.remote import Remote, remote
from tests.controlplane.gitops.host import Host, hosted
from tests.controlplane.gitops.hosts.forge import TOKEN, Forge, Kind
from tests.controlplane.gitops.hosts.forge_server import forge_for
from tests.controlplane.gitops.town import Town

REPOSITORY = "team/models.git"
FILE = "apps/chat/canary.yml"


class HostedTown(Town):
    """The town, its host's two faces, and what the controller was told about them."""

    def __init__(self, folder: Path) -> None:
        (folder / "team").mkdir()
        super().__init__(folder, REPOSITORY)
        self.forge: Forge
        self.git: Host

    @property
    def there(self) -> Remote:
        """The repository over HTTP."""
        return remote(self.git.url(REPOSITORY), token=self.folder / "token", user="bot")

    @asynccontextmanager
    async def following(self, state: str = "state", *, write: Write = "auto", **more: Any) -> AsyncIterator[None]:
        """A controller that knows the host follows the repository while the block runs."""
        self.settings = replace(GitSettings(write=write, host=self.forge.kind, api=self.forge.api), **more)
        async with self.controller(state, self.there):
            yield

    def protect(self) -> None:
        """Nobody pushes to main directly any more."""
        refuses = "echo 'GH006: Protected branch update failed' >&2; exit 1"
        check = f"[ $ref != refs/heads/main ] || {{ {refuses}; }}"
        self.origin.hook("pre-receive", f"while read old new ref; do {check}; done")

    def state(self, state: str = "state") -> GitState:
        """What a controller remembers."""
        return GitStateStore(self.folder / state / "ledger.json").state

    def said_of(self, commit: str) -> list[tuple[str, str]]:
        """State and text of the statuses on a commit, oldest first."""
        return [(said["state"], said["description"]) for of, said in self.forge.statuses if of == commit]


@contextmanager
def hosted_town(folder: Path, kind: Kind, patch: pytest.MonkeyPatch) -> Iterator[HostedTown]:
    """A town on a host of this kind; waiting is short there."""
    patch.setattr(commit_outbox, "HOST_PAUSES", (0.05, 0.2))
    patch.setattr(pull_requests, "LOOK_EVERY", 0.2)
    (folder / "token").write_text(f"{TOKEN}\n")
    town = HostedTown(folder)
    with hosted(folder, TOKEN) as git, forge_for(kind, town.origin) as forge:
        town.git, town.forge = git, forge
        yield town
