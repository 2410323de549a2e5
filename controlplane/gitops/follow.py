"""GitOps put together on a page: the repository, its rollouts, the stored state, the outbox and the controller.

Called by `serinus controller` and the demo. Decides nothing.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from canary.rollout import Event, Rollout
from canary.spec.models import ModelCanary
from controlplane.adapters.state_dir import locked
from controlplane.adapters.system_clock import SystemClock
from controlplane.gitops.bare_repository import BareRepository
from controlplane.gitops.commit_outbox import CommitOutbox
from controlplane.gitops.commit_writer import parse_author
from controlplane.gitops.controller import GitController
from controlplane.gitops.git import Limits
from controlplane.gitops.git_state import GitStateStore, PlanOrigin
from controlplane.gitops.hosts.repo_location import host_for
from controlplane.gitops.hosts.settings import GitSettings
from controlplane.gitops.local_rollouts import CarryOut, LocalRollouts
from controlplane.gitops.paths import Pattern
from controlplane.gitops.remote import Remote
from controlplane.program import Audience, run_rollout

PLAIN = GitSettings()


async def follow(
    remote: Remote,
    pattern: Pattern,
    *,
    state: Path,
    rollouts: Callable[[str], Path],
    stop: asyncio.Event,
    say: Callable[[str], None],
    audience: Callable[[ModelCanary, PlanOrigin | None], Audience],
    interval: float = 5.0,
    limits: Limits | None = None,
    carry_out: CarryOut = run_rollout,
    wake: asyncio.Event | None = None,
    settings: GitSettings = PLAIN,
) -> None:
    """Follow the repository until `stop`; everything that serves then goes on serving.

    `state` holds what the controller remembers, `rollouts(name)` each rollout's own state; `audience` hears of a plan
    and the commit that it came with; `wake` lets the branch be looked at before its time; `settings` is how is written.
    Raises `BadInput` when another controller holds the folder.
    """
    with locked(state):
        git_state = GitStateStore(state / "ledger.json")
        git_state.follows(remote.url)
        identity = parse_author(settings.author, settings.sign_key)
        store = BareRepository(state / "repository", remote, limits=limits, identity=identity)
        host = host_for(remote.url, remote.token, settings, SystemClock().now)
        outbox = CommitOutbox(store, git_state, say, host=host, settings=settings)

        async def ended(name: str, rollout: Rollout, withdrawn: bool) -> None:
            stored = await fleet.stored(name)
            await controller.ended(name, rollout, stored.spec_text if stored is not None else "", withdrawn)

        def watched(plan: ModelCanary) -> Audience:
            origin = git_state.state.origins.get(plan.metadata.name)
            given = audience(plan, origin)

            def event(happened: Event) -> None:
                given.event(happened)
                outbox.hear(happened, origin)

            return replace(given, event=event)

        fleet = LocalRollouts(rollouts, carry_out, clock=SystemClock(), audience=watched, ended=ended, say=say)
        controller = GitController(store, pattern, fleet, git_state, outbox, say=say)
        controller.wake = wake or controller.wake
        await store.check()
        await controller.run(interval, stop)
