"""`serinus dashboard`: every rollout of this user on this machine, or of a cluster, in a browser.

Serves until Ctrl-C. It reads what `serinus run` or the operator writes and puts requests beside it; stopping it touches
no rollout. `kubectl canary dashboard` opens it too (`serve_cluster`), with a connection of its own.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.person import os_user
from controlplane.cli.telemetry import log_format
from controlplane.cli.trusted_proxies import trusted_proxies

if TYPE_CHECKING:
    from controlplane.api.cluster import Cluster
    from controlplane.api.door import Door
    from controlplane.api.guard import Rules
    from controlplane.api.server import Server
    from controlplane.kubernetes.api import Kube

OPENS = "dashboard-open.html"
"""In the folder of state folders: leads a browser to the address with the token."""
STARTING = 0.01
"""Seconds between two looks at whether the server has started."""


@dataclass(frozen=True, slots=True)
class Options:
    """How it is served, whatever it shows."""

    listen: str = "127.0.0.1:0"
    hosts: tuple[str, ...] = ()
    read_only: bool = False
    open_it: bool | None = None
    """Whether to open a browser; None where somebody sits before this machine."""
    prometheus: str = ""
    """Where browsers find the cluster's Prometheus, for links to graphs."""
    log_format: str = "text"
    """`json`: what is said are lines for a log store, without the token."""
    proxies: tuple[str, ...] = ()
    """Networks of proxies in front of it, whose word on who connects is believed."""
    keep_token: bool = False
    """Whether the token of the last start opens this one too."""

    def rules(self, door: "Door") -> "Rules":
        """What is allowed to whoever comes through this door. Raises `BadInput`."""
        from controlplane.adapters.dial_policy import networks_of
        from controlplane.api.guard import Rules

        names = frozenset(name.lower() for name in self.hosts)
        return Rules(door, self.read_only, names, networks_of(",".join(self.proxies), "--trusted-proxy"))


@dataclass(frozen=True, slots=True)
class Many:
    """A dashboard in a cluster that many people share."""

    audience: str
    office: str | None
    """Namespace of the operator's Lease."""


@click.command()
@click.option("--state-home", type=click.Path(path_type=Path, file_okay=False), help="Folder of state folders.")
@click.option("--listen", default="127.0.0.1:0", show_default=True, help="Address and port; port 0 is any free one.")
@click.option("--host", "hosts", multiple=True, help="A name besides localhost by which it may be called; repeatable.")
@trusted_proxies
@click.option("--read-only", is_flag=True, help="Show everything, allow no actions.")
@click.option("--open/--no-open", "open_it", default=None, help="Open a browser (default: on a terminal).")
@click.option("--keep-token", is_flag=True, help="Keep the token of the last start instead of creating a new one.")
@click.option("--cluster", is_flag=True, help="Show the rollouts of a Kubernetes cluster.")
@click.option("--namespace", metavar="NAME", help="With --cluster: this namespace's only.")
@click.option("--kubeconfig", metavar="FILE", help="With --cluster: how to reach it; else as kubectl finds it.")
@click.option("--context", metavar="NAME", help="With --cluster: which one of the kubeconfig's.")
@click.option(
    "--sign-in",
    is_flag=True,
    help="With --cluster: people sign in with tokens of their own, and see and do what the cluster lets them.",
)
@click.option("--audience", metavar="NAME", default="serinus", show_default=True, help="With --sign-in: of the tokens.")
@click.option(
    "--prometheus-page", metavar="URL", help="With --cluster: its Prometheus as a browser gets there, for links."
)
@log_format("text")
def command(
    state_home: Path | None,
    listen: str,
    hosts: tuple[str, ...],
    proxies: tuple[str, ...],
    read_only: bool,
    open_it: bool | None,
    keep_token: bool,
    cluster: bool,
    namespace: str | None,
    kubeconfig: str | None,
    context: str | None,
    sign_in: bool,
    audience: str,
    prometheus_page: str | None,
    log_format: str,
) -> None:
    """Show every rollout on this machine, or of a cluster, in a browser, and let people act.

    Prints an address with a secret token; anyone who has it can act as you. With --sign-in there is none: everybody
    brings a token of the cluster. Exit codes: 0 stopped, 1 the cluster says no, 2 bad input.
    """
    from canary.errors import BadInput, SerinusError

    if not cluster and (namespace or kubeconfig or context or sign_in or prometheus_page):
        raise click.UsageError(
            "--namespace, --kubeconfig, --context, --sign-in, --prometheus-page belong to --cluster."
        )
    page = web_page(prometheus_page)
    if cluster and state_home:
        raise click.UsageError("--state-home names rollouts of this machine: leave it out, or --cluster.")
    options = Options(listen, hosts, read_only, open_it, page, log_format, proxies, keep_token)
    many = Many(audience, os.environ.get("POD_NAMESPACE")) if sign_in else None
    work = (
        _in_a_cluster(kubeconfig, context, namespace, options, many)
        if cluster
        else _on_this_machine(state_home, options)
    )
    try:
        asyncio.run(work)
    except BadInput as error:
        click.echo(str(error), err=True)
        raise SystemExit(2) from error
    except SerinusError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        pass


def web_page(address: str | None) -> str:
    """The address, if a browser may open it; empty where there is none. Raises `click.UsageError`."""
    from controlplane.view.facts import safe_link

    if address and not safe_link(address):
        raise click.UsageError(f"--prometheus-page {address}: expected http(s)://host/…, without a password.")
    return address or ""


def home_of_states() -> Path:
    """The folder of state folders, where the token is kept too."""
    from controlplane.adapters.state_dir import default_state_folder

    return default_state_folder("any").parent


async def _on_this_machine(state_home: Path | None, options: Options) -> None:
    from controlplane.adapters.system_clock import SystemClock
    from controlplane.api import keys, server
    from controlplane.api.door import KeyDoor

    home = state_home or home_of_states()
    secret = keys.load_or_create(home, keep=options.keep_token)
    rules = options.rules(KeyDoor(secret, os_user()))
    async with server.opened(home, rules, now=SystemClock().now) as app:
        await _shown(app, f"Rollouts of {home}", secret.token, options)


async def _in_a_cluster(
    kubeconfig: str | None, context: str | None, namespace: str | None, options: Options, many: Many | None
) -> None:
    from controlplane.cli.cluster import connected

    kube = await connected(kubeconfig, context)
    try:
        await serve_cluster(kube, context or kube.access.host, namespace, options, many=many)
    finally:
        await kube.close()


async def serve_cluster(
    kube: "Kube",
    name: str,
    namespace: str | None,
    options: Options,
    *,
    many: Many | None = None,
    user: Callable[[], str] | None = None,
) -> None:
    """Serve a cluster's rollouts until Ctrl-C. `name`: what to call it; `user`: who we are where the server is mum.

    With the rights of the connection, for the one person who started it; with `many` everybody brings their own. Raises
    `ExternalError` where the rollouts may not be listed.
    """
    from controlplane.adapters.system_clock import SystemClock
    from controlplane.api.cluster import Cluster
    from controlplane.api.door import Door, KeyDoor
    from controlplane.api.keys import load_or_create
    from controlplane.api.reviews import ReviewDoor
    from controlplane.api.rights import Rights
    from controlplane.api.server import server_of
    from controlplane.kubernetes.resources import MODEL_CANARY
    from controlplane.kubernetes.whoami import own_identity

    clock, where = SystemClock(), f"namespace {namespace}, {name}" if namespace else name
    door: Door
    if many is None:
        await kube.list(MODEL_CANARY, namespace)  # says at once what is wrong, in the server's own words
        secret = load_or_create(home_of_states(), keep=options.keep_token)
        me = await own_identity(kube)
        token, door = secret.token, KeyDoor(secret, me.name or (user or os_user)(), me.groups)
    else:
        token, door = "", ReviewDoor(kube, clock.now, many.audience)
    cluster = Cluster(
        kube,
        clock,
        where=where,
        namespace=namespace,
        office=many.office if many else None,
        rights=Rights(kube, clock.now) if many else None,
        prometheus=options.prometheus,
    )
    app = server_of(cluster, options.rules(door), now=clock.now)
    await _following(cluster, _shown(app, f"Rollouts of {where}", token, options))


async def _following(cluster: "Cluster", serving: Coroutine[Any, Any, None]) -> None:
    """Follow the cluster for as long as it is served."""
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(cluster.run())
        await serving
        following.cancel()


async def _shown(app: "Server", what: str, token: str, options: Options) -> None:
    """Serve until Ctrl-C; says where, and opens a browser."""
    from controlplane.adapters.http_listener import listen

    with listen(options.listen, who="The dashboard") as bound:
        host, port = bound.getsockname()[:2]
        called = f"[{host}]" if ":" in host else host
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(app.serve(sockets=[bound]))
            while not (app.started or serving.done()):  # noqa: ASYNC110 - the server tells its start by a flag alone
                await asyncio.sleep(STARTING)
            address = f"http://{called}:{port}/{f'?token={token}' if token else ''}"
            say = _say_to_a_log if options.log_format == "json" else click.echo
            shown = address.partition("?")[0] if options.log_format == "json" else address
            say(f"{what}{' (read-only)' if options.read_only else ''}: {shown}")
            if not host.startswith("127.") and host != "::1":
                say("Others can reach this address: it is not encrypted, put it behind TLS.", err=True)
            say("Stop with Ctrl-C; no rollout is touched by that.", err=True)
            if _has_browser() if options.open_it is None else options.open_it:
                await asyncio.to_thread(_open, address, secret=bool(token))


def _open(address: str, *, secret: bool) -> None:
    """Open a browser. An address with a secret goes into a file of ours, since all users see a program's arguments."""
    from controlplane.private_files import private_folder, replace_file

    if not secret:
        click.launch(address)
        return
    file = home_of_states() / OPENS
    private_folder(file.parent, ours=True)
    replace_file(file, f'<!doctype html><meta http-equiv="refresh" content="0; url={address}">\n')
    click.launch(str(file))


def _say_to_a_log(sentence: str, *, err: bool = False) -> None:
    """One line for a log store, where the other lines of this program go too."""
    from controlplane.adapters.system_clock import SystemClock
    from controlplane.view.log import LogView

    LogView(sys.stderr, SystemClock().now).say(sentence)


def _has_browser() -> bool:
    """Whether somebody sits before this machine."""
    return sys.stdout.isatty() and bool(os.environ.get("DISPLAY") or sys.platform == "darwin")
