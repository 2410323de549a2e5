"""The options by which an operator follows repositories, and how the sources are put beside it.

Used by `cluster.py`. What they do is in `controlplane.gitsources`, which is loaded only when it is meant.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from controlplane.gitsources.machine_quota import Quota
    from controlplane.kubernetes.client import KubeClient
    from controlplane.operator.operator import Operator, Say
    from controlplane.operator.settings import Settings
    from controlplane.ports import Clock

F = TypeVar("F", bound=Callable[..., Any])
PLACES = 4
"""Requests of git's own at the same time; the operator's have other connections and never wait for them."""


def git_sources_options(command: F) -> F:
    """Add `git_sources`, `git_cache`, `git_webhook` and what bounds them."""
    for option in (
        click.option(
            "--git-sources-per-namespace",
            "git_most",
            type=click.IntRange(min=1),
            default=20,
            show_default=True,
            help="With --git-sources: so many GitSources of a namespace are followed, the oldest.",
        ),
        click.option(
            "--git-source-size", metavar="SIZE", default="256Mi", help="With --git-sources: room for one copy (256Mi)."
        ),
        click.option(
            "--git-cache-size", metavar="SIZE", default="1Gi", help="With --git-sources: room for all copies (1Gi)."
        ),
        click.option("--git-webhook", metavar="ADDR", help="With --git-sources: host:port for pushes that hosts tell."),
        click.option(
            "--git-cache",
            type=click.Path(path_type=Path, file_okay=False),
            help="With --git-sources: folder for copies of the repositories, by default in your own cache; it may be "
            "empty at any start.",
        ),
        click.option("--git-sources", is_flag=True, help="With --cluster: follow the repositories of GitSources."),
    ):
        command = option(command)
    return command


def quota_of(disk: str, source: str, sources: int) -> "Quota":
    """What those options say. Raises `BadInput`."""
    from controlplane.gitsources.machine_quota import Quota, size_of

    return Quota(size_of(disk), size_of(source), sources)


def check(cluster: bool, sources: bool, cache: Path | None, webhook: str | None) -> None:
    """Raises a usage error for options that say nothing where they stand."""
    if sources and not cluster:
        raise click.UsageError("--git-sources goes with --cluster; one repository is followed by --git.")
    if (cache or webhook) and not sources:
        raise click.UsageError("--git-cache and --git-webhook go with --git-sources.")


def _cache(given: Path | None) -> Path:
    """Where copies are kept: in the folder that was given, or in the user's own. Raises `BadInput`."""
    from canary.errors import BadInput
    from controlplane.adapters.state_dir import default_cache_folder
    from controlplane.private_files import owner_of, private_folder

    folder = given or default_cache_folder("git")
    try:
        if not folder.exists():
            private_folder(folder)
        owner = folder.stat().st_uid
    except OSError as error:
        raise BadInput(
            f"Copies of repositories cannot be kept in {folder}: {error.strerror}. Name another folder with "
            f"--git-cache. Nothing was started."
        ) from error
    if owner not in {0, os.geteuid()}:  # a volume of a pod belongs to root
        raise BadInput(
            f"Copies of repositories cannot be kept in {folder}: it belongs to {owner_of(owner)}, who could replace "
            f"what git runs. Name another folder with --git-cache. Nothing was started."
        )
    return folder


def put_beside(
    operator: "Operator",
    kube: "KubeClient",
    settings: "Settings",
    *,
    say: "Say",
    clock: "Clock",
    cache: Path | None,
    quota: "Quota",
    webhook: str | None,
    proxies: tuple[str, ...] = (),
) -> "KubeClient":
    """Let an operator follow repositories as well; answers the client to close at the end. Raises `BadInput`."""
    from controlplane.adapters.dial_policy import Reach, networks_of
    from controlplane.adapters.http_listener import listen
    from controlplane.gitops.listener import WebhookListener
    from controlplane.gitsources.machine_quota import MachineQuota
    from controlplane.gitsources.provenance import MANAGER
    from controlplane.gitsources.source_controller import SourceServices
    from controlplane.gitsources.sources import GitSources
    from controlplane.kubernetes.client import KubeClient
    from controlplane.kubernetes.consent import Consent

    trusted = networks_of(",".join(proxies), "--trusted-proxy")
    listening = listen(webhook) if webhook else None
    own = KubeClient(kube.access, manager=MANAGER, concurrency=PLACES)
    own.counts = kube.counts
    means = SourceServices(
        kube=own,
        canaries=operator.following.canaries,
        events=operator.events,
        room=MachineQuota(_cache(cache), quota),
        reach=Reach(loopback=False, networks=settings.networks),
        secrets=Consent(own, "git", settings.listed),
        now=clock.now,
        certain=operator.leadership.lease_valid,
        say=lambda sentence: say(None, sentence),
        dashboard=settings.dashboard,
    )
    sources = GitSources(means, clock=clock, namespace=settings.namespace)
    operator.beside.append(sources.listen)
    operator.duties.append(sources.lead)
    operator.retry_holders.append(sources.allow)
    if listening is not None:
        operator.beside.append(lambda: WebhookListener(sources.find, proxies=trusted).serve(listening))
    return own
