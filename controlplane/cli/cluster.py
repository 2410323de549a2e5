"""`serinus controller --cluster`: the options of the operator, its log, and the signals that end it.

Used by `controller.py`. Everything else is `controlplane.operator`, which is loaded only when it is meant.
"""

import asyncio
import functools
import os
import secrets
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from controlplane.adapters.prometheus_auth import PrometheusAuth
from controlplane.cli.catalogue import catalogue_option
from controlplane.cli.complaint import complain
from controlplane.cli.git_sources import check, git_sources_options, put_beside, quota_of
from controlplane.cli.prometheus import prometheus_access, prometheus_registry
from controlplane.cli.signals import on_any_signal
from controlplane.cli.telemetry import tracing

if TYPE_CHECKING:
    from controlplane.kubernetes.cache import Key
    from controlplane.kubernetes.client import KubeClient
    from controlplane.operator.operator import Operator
    from controlplane.operator.registry import Addresses, Registry
    from controlplane.operator.settings import Settings
    from profiles.catalogue import Catalogue

F = TypeVar("F", bound=Callable[..., Any])
SHORTEST, LONGEST = 0.2, 3600.0
DEFAULT_HOME = "default"


class Period(click.ParamType[float]):
    """Seconds, as a number or with a unit: `5`, `1s`, `500ms`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds; a usage error for anything else."""
        from canary.spec.units import UnreadableNumber, seconds

        try:
            read = float(value) if str(value).replace(".", "", 1).isdigit() else seconds(str(value))
        except (UnreadableNumber, ValueError):
            self.fail(f"expected a duration such as 5s, got {value!r}", param, ctx)
        if not SHORTEST <= read <= LONGEST:
            self.fail(f"expected between {SHORTEST:g} and {LONGEST:g} seconds, got {value!r}", param, ctx)
        return read


PERIOD = Period()


@dataclass(frozen=True, slots=True)
class InACluster:
    """What was said besides `--cluster`."""

    namespace: str | None
    all_namespaces: bool
    kubeconfig: str | None
    context: str | None
    prometheus: str | None
    access: PrometheusAuth
    registry_file: Path | None
    addresses: "Addresses"
    selector: str
    gateways: str
    queries: str
    listen: str | None
    elect: bool
    earlier_histories: bool
    most_rollouts: int
    most_memory: str
    hosts: tuple[str, ...]
    """Which host names each namespace may have: `team-a=*.team-a.example.com`."""
    listed: tuple[str, ...]
    """Secrets that may be read without a word of their own: `alerts:models/slack`."""
    additions: tuple[Path, ...]
    """YAML with GPUs, models and quantizations of one's own."""
    git_sources: bool
    git_cache: Path | None
    git_cache_size: str
    git_source_size: str
    git_most: int
    git_webhook: str | None


def in_a_cluster(command: F) -> F:
    """Add the operator's options to a command; it gets them as one argument, `cluster`, None without `--cluster`."""

    @click.option("--cluster", is_flag=True, help="Run as the operator of a Kubernetes cluster.")
    @click.option("--namespace", metavar="NAME", help="With --cluster: carry out this namespace's ModelCanaries only.")
    @click.option("--all-namespaces", is_flag=True, help="With --cluster: those of all namespaces (the default).")
    @click.option("--kubeconfig", metavar="FILE", help="With --cluster: how to reach it; else as kubectl finds it.")
    @click.option("--context", metavar="NAME", help="With --cluster: which one of the kubeconfig's.")
    @click.option("--prometheus", metavar="URL", help="With --cluster: where it answers for plans that do not say.")
    @prometheus_access
    @prometheus_registry
    @click.option("--listen", metavar="ADDR", help="With --cluster: host:port for /metrics, /healthz and /readyz.")
    @click.option(
        "--leader-elect/--no-leader-elect", "elect", default=True, help="With --cluster: agree on one that acts."
    )
    @click.option(
        "--host-names",
        "hosts",
        multiple=True,
        metavar="NAMESPACE=NAME,…",
        help="With --cluster: host names that a namespace may have; *=… for all others. Repeat it for more.",
    )
    @click.option(
        "--allow-secret",
        "listed",
        multiple=True,
        metavar="PURPOSE:NAMESPACE/NAME",
        help="With --cluster: a Secret that may be read for alerts or git without an annotation. Repeat it for more.",
    )
    @click.option(
        "--histories-from-configmaps",
        "earlier_histories",
        is_flag=True,
        help="With --cluster: take over the histories that a build before RolloutHistory kept in ConfigMaps.",
    )
    @click.option(
        "--rollouts-per-namespace",
        "most_rollouts",
        type=click.IntRange(min=1),
        default=100,
        show_default=True,
        help="With --cluster: rollouts of one namespace at the same time; others begin after these.",
    )
    @click.option(
        "--namespace-memory",
        "most_memory",
        metavar="SIZE",
        default="32Mi",
        help="With --cluster: memory for what one namespace has of one kind (32Mi).",
    )
    @git_sources_options
    @catalogue_option
    @functools.wraps(command)
    def with_options(*arguments: Any, cluster: bool, **options: Any) -> Any:
        said = InACluster(**{field: options.pop(field) for field in InACluster.__dataclass_fields__})
        if said.additions and not cluster:
            raise click.UsageError("--catalogue goes with --cluster.")
        check(cluster, said.git_sources, said.git_cache, said.git_webhook)
        if cluster and said.namespace and said.all_namespaces:
            raise click.UsageError("--namespace and --all-namespaces contradict each other.")
        return command(*arguments, cluster=said if cluster else None, **options)

    return with_options  # type: ignore[return-value]  # the same command with more options


def run_operator(options: InACluster, interval: float, log_format: str = "json", proxies: tuple[str, ...] = ()) -> int:
    """Be the operator until a signal; answers the exit code. `proxies`: in front of the listener for webhooks."""
    from canary.errors import BadInput, SerinusError

    code = 0
    try:
        asyncio.run(_operate(options, interval, log_format, proxies))
    except* BadInput as errors:
        complain(errors)
        code = 2
    except* SerinusError as errors:
        complain(errors)
        code = 1
    return code


async def connected(kubeconfig: str | None, context: str | None) -> "KubeClient":
    """A client of the cluster that is meant. Raises `BadInput` where it, or the library for it, is not there."""
    try:
        from controlplane.kubernetes.client import KubeClient
    except ModuleNotFoundError as error:
        from canary.errors import BadInput

        raise BadInput(f"A cluster needs the extra `cluster`: pip install 'serinus[cluster]' ({error}).") from error
    return await KubeClient.connect(kubeconfig=kubeconfig, context=context)


async def _operate(options: InACluster, interval: float, log_format: str, proxies: tuple[str, ...]) -> None:
    from controlplane.adapters.system_clock import SystemClock
    from controlplane.operator.operator import Operator

    stop = asyncio.Event()
    on_any_signal(stop.set)
    kube = await connected(options.kubeconfig, options.context)
    clients = [kube]
    log = Log(SystemClock().now, log_format)
    try:
        async with tracing(lambda words: log.say(None, words)) as tracer:
            settings, clock = _settings(options, interval), SystemClock()
            operator = Operator(settings, kube, clock=clock, say=log.say)
            if options.git_sources:
                own = put_beside(
                    operator,
                    kube,
                    settings,
                    say=log.say,
                    clock=clock,
                    cache=options.git_cache,
                    quota=quota_of(options.git_cache_size, options.git_source_size, options.git_most),
                    webhook=options.git_webhook,
                    proxies=proxies,
                )
                clients.append(own)
            log.trace = lambda key: _trace(operator, key)
            if tracer is not None:
                operator.tally.heard = lambda namespace, event, history: tracer.happened(event, history, namespace)
            await operator.run(stop)
    finally:
        for client in clients:
            await client.close()
    log.say(None, "Left; everything goes on serving as it is.")


def _settings(options: InACluster, interval: float) -> "Settings":
    from controlplane.adapters.dial_policy import networks_of
    from controlplane.gateway.hostnames import Allowed
    from controlplane.gitsources.machine_quota import size_of
    from controlplane.kubernetes.consent import Listed
    from controlplane.operator.settings import Settings

    return Settings(
        identity=f"{os.environ.get('POD_NAME') or socket.gethostname()}-{secrets.token_hex(3)}",
        home=os.environ.get("POD_NAMESPACE") or options.namespace or DEFAULT_HOME,
        namespace=options.namespace,
        prometheus=_registry(options),
        queries=options.queries == "on",
        interval=interval,
        elect=options.elect,
        listen=options.listen,
        networks=networks_of(os.environ.get("SERINUS_ALERT_NETWORKS", "")),
        dashboard=os.environ.get("SERINUS_URL", ""),
        known=known_with(options.additions),
        earlier_histories=options.earlier_histories,
        most_rollouts=options.most_rollouts,
        most_memory=size_of(options.most_memory),
        listed=tuple(Listed.of(each) for each in options.listed),
        hosts=Allowed.of(options.hosts) if options.hosts else None,
    )


def _registry(options: InACluster) -> "Registry":
    """Which Prometheus servers there are. Raises `BadInput`."""
    from controlplane.evidence.metric_locations import GATEWAYS, Labels
    from controlplane.operator.registry import Registry, checked_selector, registry_in

    gateways = tuple(each.strip() for each in options.gateways.split(",") if each.strip()) or GATEWAYS
    labels = Labels(selector=checked_selector(options.selector), gateways=gateways)
    named = registry_in(options.registry_file) if options.registry_file else {}
    return Registry.of(options.prometheus, options.access, named=named, addresses=options.addresses, labels=labels)


def known_with(additions: tuple[Path, ...]) -> "Catalogue":
    """The catalogue with these files. Raises `BadInput`, naming file and line."""
    from canary.errors import BadInput
    from controlplane.profiles.sources import catalogue
    from profiles.errors import ProfileError

    try:
        return catalogue(additions)
    except ProfileError as error:
        raise BadInput(f"--catalogue: {error}") from error


class Log:
    """One line for each sentence, on standard error: JSON for a log store, or text."""

    def __init__(self, now: Callable[[], float], form: str) -> None:
        from controlplane.view.lines import LineWriter
        from controlplane.view.log import LogView as Structured

        self._log = Structured(sys.stderr, now) if form == "json" else None
        self._lines = LineWriter(sys.stderr)
        self.trace: Callable[[Key], str] = lambda _key: ""
        """The trace of a rollout that is being carried out."""

    def say(self, key: "Key | None", sentence: str) -> None:
        """Write one line."""
        from controlplane.view.text import clean

        about = "/".join(key) if key else ""
        if self._log is not None:
            self._log.say(sentence, about, self.trace(key) if key else "")
        else:
            self._lines.write(clean(f"{about}: {sentence}" if about else sentence))


def _trace(operator: "Operator", key: "Key") -> str:
    """The id of the trace that a rollout's newest attempt is."""
    from controlplane.observability.trace import trace_id

    charge = operator.controller.charges.get(key)
    if charge is None or charge.rollout is None:
        return ""
    return trace_id(charge.rollout.name, charge.rollout.attempt, charge.rollout.began, key[0])
