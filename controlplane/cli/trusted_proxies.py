"""The option that names proxies in front of a server of ours, for every command that serves others.

Behind a proxy all clients have its address, and share the limits of one, unless it is believed about who they are.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def trusted_proxies(command: F) -> F:
    """Add the option; the command gets it as `proxies`."""
    return click.option(
        "--trusted-proxy",
        "proxies",
        multiple=True,
        metavar="NETWORK",
        help="Of a proxy in front of it, whose X-Forwarded-For is believed: 10.1.0.0/16; repeatable.",
    )(command)
