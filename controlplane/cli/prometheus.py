"""Options that say what a Prometheus asks for: a token, a password, headers, certificates. For every command with one.

Only reads options; what they mean is `controlplane.adapters.prometheus_auth`. Secrets are named by files, because a
command line is read by everybody on the machine.
"""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from controlplane.adapters.prometheus_auth import PrometheusAuth

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(path_type=Path, dir_okay=False)


class Header(click.ParamType[tuple[str, str]]):
    """`NAME=VALUE`, or `NAME: VALUE` as it is written elsewhere."""

    name = "header"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Name and value; a usage error, which does not repeat the value, for anything else."""
        if isinstance(value, tuple):
            return value
        said = re.fullmatch(r"\s*([^=:]*[^=:\s])\s*[=:](.*)", str(value))
        if said is None:
            self.fail("expected NAME=VALUE, such as X-Scope-OrgID=team-a", param, ctx)
        return said[1], said[2].strip()


def prometheus_access(command: F) -> F:
    """Add the options to a command; it gets them as one argument, `access`."""

    @click.option("--prometheus-token-file", type=FILE, metavar="FILE", help="A bearer token for it.")
    @click.option("--prometheus-user", metavar="NAME", help="A user name for it.")
    @click.option("--prometheus-password-file", type=FILE, metavar="FILE", help="That user's password.")
    @click.option(
        "--prometheus-header", multiple=True, type=Header(), metavar="NAME=VALUE", help="Such as X-Scope-OrgID=team-a."
    )
    @click.option("--prometheus-ca", type=FILE, metavar="FILE", help="Certificates that may have signed its own.")
    @click.option("--prometheus-cert", type=FILE, metavar="FILE", help="Our certificate, where it wants one (mTLS).")
    @click.option("--prometheus-key", type=FILE, metavar="FILE", help="Its key, where that is in a file of its own.")
    @functools.wraps(command)
    def with_options(
        *arguments: Any,
        prometheus_token_file: Path | None,
        prometheus_user: str | None,
        prometheus_password_file: Path | None,
        prometheus_header: tuple[tuple[str, str], ...],
        prometheus_ca: Path | None,
        prometheus_cert: Path | None,
        prometheus_key: Path | None,
        **options: Any,
    ) -> Any:
        access = PrometheusAuth(
            bearer_file=prometheus_token_file,
            username=prometheus_user or "",
            password_file=prometheus_password_file,
            headers=dict(prometheus_header),
            ca_file=prometheus_ca,
            certificate_file=prometheus_cert,
            key_file=prometheus_key,
        )
        return command(*arguments, access=access, **options)

    return with_options  # type: ignore[return-value]  # the same command with more options


def prometheus_registry(command: F) -> F:
    """Add the options that say which Prometheus servers plans may name, and whom their series are believed of."""
    for option in (
        click.option(
            "--prometheus-registry",
            "registry_file",
            type=FILE,
            metavar="FILE",
            help="With --cluster: those that plans may name, as NAME: {url: …, namespaces: […], tokenFile: …}.",
        ),
        click.option(
            "--prometheus-addresses",
            "addresses",
            type=click.Choice(["named", "public", "private"]),
            default="named",
            show_default=True,
            help="With --cluster: addresses in plans: none, of the internet over https, or of private networks too.",
        ),
        click.option(
            "--prometheus-selector",
            "selector",
            metavar="MATCHERS",
            default="",
            help='With --cluster: label matchers for every counter of --prometheus, such as cluster="eu-1".',
        ),
        click.option(
            "--prometheus-gateways",
            "gateways",
            metavar="NAMESPACES",
            default="",
            help="With --cluster: where gateways run their proxies, with commas; * believes whoever was scraped.",
        ),
        click.option(
            "--prometheus-queries",
            "queries",
            type=click.Choice(["on", "off"]),
            default="on",
            show_default=True,
            help="With --cluster: whether gates may bring queries of their own, which read whatever Prometheus has.",
        ),
    ):
        command = option(command)
    return command
