"""`serinus controller` and `serinus retry`: rollouts on this machine by commits of canary.yml files, or a cluster's.

Reads the options, opens a view of lines, and turns signals into leaving; everything else is `controlplane.gitops`.
"""

import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from controlplane.cli.cluster import PERIOD, InACluster, in_a_cluster, run_operator
from controlplane.cli.complaint import complain
from controlplane.cli.git_options import git_options
from controlplane.cli.signals import on_any_signal
from controlplane.cli.telemetry import history_in, log_format, tracing
from controlplane.cli.trusted_proxies import trusted_proxies
from controlplane.gitops.hosts.settings import GitSettings

if TYPE_CHECKING:
    import socket

    from canary.rollout import Event
    from canary.spec.models import ModelCanary
    from controlplane.gitops.git_state import PlanOrigin
    from controlplane.gitops.listener import WebhookListener
    from controlplane.gitops.paths import Pattern
    from controlplane.gitops.remote import Remote
    from controlplane.program import Audience, Serving

FILE = click.Path(path_type=Path, dir_okay=False)
OWN_FOLDER = "_controller"
"""Beside the folders of the rollouts; no rollout can have this name."""


@click.command()
@click.option("--git", "url", metavar="URL", help="https://…, ssh://…, user@host:path or a folder here.")
@click.option("--path", "paths", default="**/canary.yml", show_default=True, help="Which files: apps/*/canary.yml.")
@click.option("--branch", default="main", show_default=True, help="The branch to follow and to commit to.")
@click.option("--interval", type=PERIOD, help="How often to check git (5s) or Prometheus (1s).")
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="Folder for all state and logs.")
@click.option("--token-file", type=FILE, help="File with a token, for https. Read at each use.")
@click.option("--user", default="git", show_default=True, help="The user name that goes with the token.")
@click.option("--ssh-key", type=FILE, help="File with a private key, for ssh.")
@click.option("--known-hosts", type=FILE, help="File with the host's key, for ssh; your own by default.")
@click.option("--webhook", metavar="ADDR", help="host:port at which pushes are told, so that none waits for a look.")
@click.option("--webhook-secret-file", type=FILE, help="File with the secret that signs webhooks.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="What to print.")
@trusted_proxies
@git_options
@log_format(None)
@in_a_cluster
def command(
    url: str | None,
    paths: str,
    branch: str,
    interval: float | None,
    state: Path | None,
    token_file: Path | None,
    user: str,
    ssh_key: Path | None,
    known_hosts: Path | None,
    webhook: str | None,
    webhook_secret_file: Path | None,
    output: str,
    proxies: tuple[str, ...],
    git_settings: GitSettings,
    log_format: str | None,
    cluster: InACluster | None,
) -> None:
    """Follow a git repository: each changed canary.yml is rolled out on this machine, and its end is a commit.

    With --cluster: be the operator of a Kubernetes cluster, and carry out its ModelCanaries instead.

    A promotion makes the canary stable in the file; a rollback puts the file back, with the evidence in the message.
    Ctrl-C or TERM leaves everything serving as it is, and the same command goes on from there.
    """
    from canary.errors import BadInput, SerinusError
    from controlplane.gitops.paths import Pattern
    from controlplane.gitops.remote import remote

    if proxies and not (webhook or (cluster and cluster.git_webhook)):
        raise click.UsageError("--trusted-proxy goes with --webhook or --git-webhook.")
    if cluster is not None:
        raise SystemExit(run_operator(cluster, 1.0 if interval is None else interval, log_format or "json", proxies))
    if url is None:
        raise click.UsageError("Missing option '--git' (or --cluster).")
    if webhook is not None and webhook_secret_file is None:
        raise click.UsageError("--webhook needs --webhook-secret-file: an unsigned webhook is no webhook.")
    code = 0
    try:
        there = remote(
            str(Path(url).resolve()) if Path(url).is_dir() else url,
            branch=branch,
            local=True,
            token=token_file,
            user=user,
            key=ssh_key,
            known_hosts=known_hosts,
        )
        hooks = Hooks(webhook, webhook_secret_file, proxies) if webhook and webhook_secret_file else None
        every = 5.0 if interval is None else interval
        page = Page(output, log_format or "text")
        asyncio.run(_follow(there, Pattern(paths), every, state, page, hooks, git_settings))
    except* BadInput as errors:
        complain(errors)
        code = 2
    except* SerinusError as errors:
        complain(errors)
        code = 1
    raise SystemExit(code)


@click.command()
@click.argument("name")
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="Folder given to the controller.")
def retry(name: str, state: Path | None) -> None:
    """Allow a controller to try a rejected revision again. NAME is the rollout's.

    It starts as soon as its file in git names something to try.
    """
    from canary.errors import BadInput
    from controlplane.gitops.controller import ask_for_retry
    from controlplane.gitops.git_state import GitStateStore

    folder = _places(state)[0]
    if not (folder / "ledger.json").is_file():
        click.echo(f"No controller has its state in {folder}; nothing was done.", err=True)
        raise SystemExit(2)
    try:
        followed = GitStateStore(folder / "ledger.json").state.origins
    except BadInput as error:
        click.echo(str(error), err=True)
        raise SystemExit(2) from error
    if name not in followed:
        click.echo(f"The controller in {folder} follows no rollout {name}; nothing was done.", err=True)
        raise SystemExit(2)
    ask_for_retry(folder, name)
    click.echo(f"{name} may be tried again; the controller takes it up at its next look.")


def _places(state: Path | None) -> tuple[Path, Path | None]:
    """The controller's own folder, and the folder for its rollouts where it is not the user's usual one."""
    from controlplane.adapters.state_dir import default_state_folder

    return (state, state / "rollouts") if state else (default_state_folder(OWN_FOLDER), None)


@dataclass(frozen=True, slots=True)
class Hooks:
    """Where webhooks are listened for."""

    address: str
    secret: Path
    proxies: tuple[str, ...] = ()

    def open(self, branch: str, wake: asyncio.Event) -> "tuple[WebhookListener, socket.socket]":
        """Who answers, and where: `wake` is set for every push to the branch. Raises `BadInput`."""
        from controlplane.adapters.dial_policy import networks_of
        from controlplane.adapters.http_listener import listen
        from controlplane.gitops.listener import SecretFile, WebhookListener, at_root

        async def fetch() -> None:
            wake.set()

        find = at_root(SecretFile(self.secret), branch, fetch)
        proxies = networks_of(",".join(self.proxies), "--trusted-proxy")
        return WebhookListener(find, proxies=proxies), listen(self.address)


async def _follow(
    there: "Remote",
    pattern: "Pattern",
    interval: float,
    state: Path | None,
    view: "Page",
    hooks: Hooks | None,
    settings: GitSettings,
) -> None:
    """Follow until a signal."""
    from controlplane.adapters.http_listener import shown
    from controlplane.adapters.state_dir import default_state_folder, folder_of
    from controlplane.gitops.follow import follow

    stop, wake = asyncio.Event(), asyncio.Event()
    own, rollouts = _places(state)
    on_any_signal(stop.set)
    view.say(f"Following {there.branch} of {there.url}, files {pattern.text}, every {interval:g} s. Leave: Ctrl-C")
    door = hooks.open(there.branch, wake) if hooks else None

    def folder(name: str) -> Path:
        return folder_of(rollouts, name) if rollouts else default_state_folder(name)

    async with tracing(view.say) as tracer, asyncio.TaskGroup() as tasks:
        if tracer is not None:
            view.happened = lambda event: tracer.happened(event, history_in(folder(event.rollout), event.rollout))
        if door is not None:
            view.say(f"Webhooks for pushes to {there.branch}: http://{shown(door[1])}/")
        listening = tasks.create_task(door[0].serve(door[1])) if door else None
        await follow(
            there,
            pattern,
            state=own,
            rollouts=folder,
            stop=stop,
            say=view.say,
            audience=view.audience,
            interval=interval,
            wake=wake,
            settings=settings,
        )
        if listening is not None:
            listening.cancel()
    view.say("Left; everything goes on serving as it is.")


class Page:
    """Lines about many rollouts, each with its name; as JSON, the event lines of the contract, or a log."""

    def __init__(self, output: str, log_format: str = "text") -> None:
        from controlplane.adapters.system_clock import SystemClock
        from controlplane.view.lines import LineWriter
        from controlplane.view.log import LogView
        from controlplane.view.marks import marks_for
        from controlplane.view.watcher import Once

        self._once: dict[str, Once] = defaultdict(Once)
        """What was told of each rollout: one that goes on after a change of plans tells its last event again."""
        self._json = output == "json"
        self._lines = LineWriter(sys.stdout)
        self._words = LineWriter(sys.stderr) if self._json else self._lines
        self._marks = marks_for(self._lines.encoding)
        self._log = (
            LogView(sys.stderr if self._json else sys.stdout, SystemClock().now) if log_format == "json" else None
        )
        self.happened: Callable[[Event], None] = lambda _event: None
        """Who else hears of every event, such as a tracer."""

    def say(self, sentence: str, rollout: str = "") -> None:
        """Something that is no event; a sentence may bring an excerpt of a file on lines of its own."""
        from controlplane.view.text import clean

        if self._log is not None:
            self._log.say(sentence, rollout)
            return
        sentence = f"{rollout}: {sentence}" if rollout else sentence
        first, *excerpt = sentence.split("\n")
        for line in (clean(first), *(f"  {line.rstrip()}" for line in excerpt)):
            self._words.write(line)

    def audience(self, plan: "ModelCanary", origin: "PlanOrigin | None") -> "Audience":
        """Who hears of one rollout; its event lines carry the commit that it came with."""
        from canary.spec import revision
        from controlplane.program import Audience

        name = plan.metadata.name

        def serving(at: "Serving") -> None:
            self.say(f"clients connect to http://{at.address}; numbers come from {at.metrics}", name)

        def event(happened: "Event") -> None:
            self._event(happened, origin if origin and origin.revision == happened.revision else None)

        return Audience(
            say=lambda words: self.say(words, name),
            event=event,
            serving=serving,
            commit=origin.commit if origin and origin.revision == revision(plan) else "",
        )

    def _event(self, event: "Event", origin: "PlanOrigin | None") -> None:
        from canary.serial import event_line
        from controlplane.view.plain import event_text

        if not self._once[event.rollout].is_new(event):
            return
        self.happened(event)
        if self._log is not None:
            self._log.event(event)
            if not self._json:
                return
        if self._json:
            keys = ("commit", "author", "subject", "path", "line")
            git = {"git": {key: getattr(origin, key) for key in keys}} if origin else {}
            self._lines.write(json.dumps({**event_line(event), **git}, ensure_ascii=False))
        else:
            self._lines.write(f"{event.rollout}  {event_text(event, self._marks)}")
