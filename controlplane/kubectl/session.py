"""What every verb has in common: the options that say which cluster is meant, the connection, errors, exit codes.

Used by all verbs as a decorator, `at_cluster`. A verb is a coroutine of a `KubectlSession` that answers its exit code.
What may take long to import is imported by the verbs themselves.
"""

import asyncio
import functools
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import click

from canary.errors import ExternalError, SerinusError
from controlplane.cli.signals import INTERRUPTED

if TYPE_CHECKING:
    from controlplane.kubernetes.api import Kube

FAILED, BAD_INPUT, TIMED_OUT = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Where:
    """Which cluster, as whom, and where in it."""

    namespace: str | None = None
    all_namespaces: bool = False
    context: str | None = None
    kubeconfig: str | None = None
    on_behalf_of: str | None = None

    def over(self, other: "Where") -> "Where":
        """What is said here, and what only the other one says."""
        said = {field.name: getattr(self, field.name) or getattr(other, field.name) for field in fields(self)}
        return replace(self, **said)


@dataclass(frozen=True, slots=True)
class KubectlSession:
    """A connection and what belongs to it."""

    kube: "Kube"
    namespace: str
    """The one that is meant; for `--all-namespaces` the one of the context."""
    everywhere: bool
    person: str
    """What the kubeconfig calls who we are."""
    server: str
    now: Callable[[], float]
    """Seconds since the epoch."""
    spoken: str = ""
    """The options that a command to copy has to repeat: ` -n models`."""
    trial: "Kube | None" = None
    """A connection whose writes the server checks and answers, and does not keep."""

    def on_trial(self) -> "KubectlSession":
        """The same person at the same place, where nothing that is written is kept."""
        from canary.errors import BadInput

        if self.trial is None:
            raise BadInput("This connection cannot try anything without doing it.")
        return replace(self, kube=self.trial, trial=None)

    @property
    def scope(self) -> str | None:
        """The namespace to look in; None for all of them."""
        return None if self.everywhere else self.namespace

    def called(self, name: str) -> str:
        """A rollout's name as a person finds it again: `chat in namespace models`."""
        return f"{name} in namespace {self.namespace}"


def trying(words: str) -> Callable[..., Any]:
    """The option `--dry-run=none|server`, handed on as `dry_run`, true where the server is to be asked."""
    return click.option(
        "--dry-run", type=click.Choice(["none", "server"]), default="none", callback=_is_server, help=words
    )


def _is_server(_context: click.Context, _parameter: click.Parameter, value: str) -> bool:
    return value == "server"


Opener = Callable[[Where], KubectlSession]
"""Opens a session; tests hand in their own as `obj` of the click context."""
Body = Callable[..., Coroutine[Any, Any, int]]


def open_session(where: Where) -> KubectlSession:
    """The session of the real cluster. Raises `BadInput` where nothing says which one is meant."""
    from controlplane.adapters.system_clock import SystemClock
    from controlplane.kubectl.client import ThinClient
    from controlplane.kubectl.kubeconfig import find

    target = find(kubeconfig=where.kubeconfig, context=where.context)
    on_behalf_of = where.on_behalf_of or ""
    return KubectlSession(
        kube=ThinClient(target, on_behalf_of=on_behalf_of),
        namespace=where.namespace or target.namespace,
        everywhere=where.all_namespaces,
        person=where.on_behalf_of or target.person,
        server=target.server,
        now=SystemClock().now,
        spoken=f" -n {where.namespace}" if where.namespace else "",
        trial=ThinClient(target, on_behalf_of=on_behalf_of, dry_run=True),
    )


def places(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of kubectl itself, as one argument `where`."""
    from controlplane.kubectl.names import complete_contexts, complete_namespaces

    @click.option(
        "-n", "--namespace", metavar="NAME", shell_complete=complete_namespaces, help="Look in this namespace."
    )
    @click.option("--context", metavar="NAME", shell_complete=complete_contexts, help="Use this context.")
    @click.option("--kubeconfig", metavar="FILE", type=click.Path(), help="Use this kubeconfig.")
    @click.option("--as", "on_behalf_of", metavar="USER", help="Act as this user, where you may.")
    @functools.wraps(command)
    def with_places(*arguments: Any, **given: Any) -> Any:
        said = {field.name: given.pop(field.name) for field in fields(Where) if field.name in given}
        return command(*arguments, where=Where(**said), **given)

    return with_places


everywhere = click.option("-A", "--all-namespaces", is_flag=True, help="Look in all namespaces.")


def at_cluster(body: Body) -> Callable[..., Any]:
    """Run this coroutine with a session, and leave with its exit code; errors become one sentence each."""

    def command(context: click.Context, *, where: Where, **given: Any) -> None:
        meant = where.over(group_where(context))
        opener: Opener = context.obj or open_session
        raise SystemExit(run(opener, meant, lambda session: body(session, **given)))

    command.__name__, command.__doc__ = body.__name__, body.__doc__
    return places(click.pass_context(command))


def group_where(context: click.Context) -> Where:
    """What was said before the verb's name."""
    said = context.meta.get("kubectl.where")
    return said if isinstance(said, Where) else Where()


def run(opener: Opener, where: Where, work: Callable[[KubectlSession], Coroutine[Any, Any, int]]) -> int:
    """The exit code of this work at the cluster."""
    from canary.errors import BadInput, SpecError
    from controlplane.kubectl.trouble import sentence_of

    try:
        return asyncio.run(_worked(opener, where, work))
    except (BadInput, SpecError) as error:
        click.echo(str(error), err=True)
        return BAD_INPUT
    except ExternalError as error:
        click.echo(sentence_of(error), err=True)
        return FAILED
    except SerinusError as error:
        click.echo(str(error), err=True)
        return FAILED
    except BrokenPipeError:  # whoever reads us (`… | head`) has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED


async def _worked(opener: Opener, where: Where, work: Callable[[KubectlSession], Coroutine[Any, Any, int]]) -> int:
    session = opener(where)
    try:
        return await work(session)
    finally:
        await session.kube.close()
        if session.trial is not None:
            await session.trial.close()
