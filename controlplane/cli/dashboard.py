"""`serinus dashboard`: every rollout of this user on this machine, in a browser.

Serves until Ctrl-C. It reads the stores that `serinus run` writes and puts requests into them; stopping it touches no
rollout.
"""

import asyncio
import os
import sys
from pathlib import Path

import click

STARTING = 0.01
"""Seconds between two looks at whether the server has started."""


@click.command()
@click.option("--state-home", type=click.Path(path_type=Path, file_okay=False), help="Folder of state folders.")
@click.option("--listen", default="127.0.0.1:0", show_default=True, help="Address and port; port 0 is any free one.")
@click.option("--host", "hosts", multiple=True, help="A name besides localhost by which it may be called; repeatable.")
@click.option("--read-only", is_flag=True, help="Show everything, allow nothing.")
@click.option("--open/--no-open", "open_it", default=None, help="Open a browser (default: on a terminal).")
def command(
    state_home: Path | None, listen: str, hosts: tuple[str, ...], read_only: bool, open_it: bool | None
) -> None:
    """Show every rollout on this machine in a browser, running or ended, and let its owner act.

    Prints an address with a secret token; whoever has it may act as you. Exit codes: 0 stopped, 2 bad input.
    """
    from canary.errors import BadInput
    from controlplane.adapters.state_folder import default_state_folder

    home = state_home or default_state_folder("any").parent
    try:
        asyncio.run(_serve(home, listen, hosts, read_only=read_only, open_it=open_it))
    except BadInput as error:
        click.echo(str(error), err=True)
        raise SystemExit(2) from error
    except KeyboardInterrupt:
        pass


async def _serve(home: Path, listen: str, hosts: tuple[str, ...], *, read_only: bool, open_it: bool | None) -> None:
    from controlplane.adapters.system_clock import SystemClock
    from controlplane.api import keys, server
    from controlplane.api.door import KeyDoor
    from controlplane.api.guard import Rules

    secret = keys.load_or_create(home)
    with server.listen(listen) as bound:
        host, port = bound.getsockname()[:2]
        called = f"[{host}]" if ":" in host else host
        rules = Rules(KeyDoor(secret, _user()), read_only, frozenset(name.lower() for name in hosts))
        async with (
            server.opened(home, rules, now=SystemClock().now) as app,
            asyncio.TaskGroup() as tasks,
        ):
            serving = tasks.create_task(app.serve(sockets=[bound]))
            while not (app.started or serving.done()):  # noqa: ASYNC110 - the server tells its start by a flag alone
                await asyncio.sleep(STARTING)
            address = f"http://{called}:{port}/?token={secret.token}"
            click.echo(f"Rollouts of {home}{' (read-only)' if read_only else ''}: {address}")
            if not host.startswith("127.") and host != "::1":
                click.echo("Others can reach this address: it is not encrypted, put it behind TLS.", err=True)
            click.echo("Stop with Ctrl-C; no rollout is touched by that.", err=True)
            if _has_browser() if open_it is None else open_it:
                await asyncio.to_thread(click.launch, address)


def _has_browser() -> bool:
    """Whether somebody sits before this machine."""
    return sys.stdout.isatty() and bool(os.environ.get("DISPLAY") or sys.platform == "darwin")


def _user() -> str:
    from getpass import getuser

    try:
        return getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "the operator"
