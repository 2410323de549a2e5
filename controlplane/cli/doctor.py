"""`serinus doctor`: is this cluster ready for a rollout? One line for each thing looked at, and what to do about it.

Looks and changes nothing. Exit codes: 0 nothing is wrong, 1 something is, 2 it could not even be asked.
"""

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from canary.errors import BadInput, SerinusError
from controlplane.adapters.prometheus_auth import PrometheusAuth
from controlplane.adapters.system_clock import SystemClock
from controlplane.cli.prometheus import prometheus_access

if TYPE_CHECKING:
    from controlplane.evidence.doctor_cluster import Check

WRONG, BAD_INPUT = 1, 2
DEFAULT_GATEWAY = "kserve/kserve-ingress-gateway"
WORDS = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}


@click.command()
@click.option("--kubeconfig", metavar="FILE", help="Whose cluster; KUBECONFIG or the usual file when left out.")
@click.option("--context", "context_name", metavar="NAME", help="Context of the kubeconfig.")
@click.option("-n", "--namespace", metavar="NAME", help="Look at this namespace; all of them when left out.")
@click.option("--gateway", metavar="NAMESPACE/NAME", default=DEFAULT_GATEWAY, show_default=True, help="Its Gateway.")
@click.option("--prometheus", metavar="URL", help="Where Prometheus answers.")
@prometheus_access
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="json: one object a line.")
@click.pass_context
def command(
    context: click.Context,
    kubeconfig: str | None,
    context_name: str | None,
    namespace: str | None,
    gateway: str,
    prometheus: str | None,
    access: PrometheusAuth,
    output: str,
) -> None:
    """Look at a cluster: API server, permissions, KServe, gateway, GPUs, Prometheus. Changes nothing."""
    if gateway.count("/") != 1:
        raise click.UsageError(f"--gateway: expected NAMESPACE/NAME, got {gateway!r}")
    try:
        checks = asyncio.run(_looked(kubeconfig, context_name, namespace, gateway, prometheus, access))
    except SerinusError as error:
        click.echo(str(error), err=True)
        context.exit(BAD_INPUT)
    for check in checks:
        click.echo(json.dumps(asdict(check), ensure_ascii=False) if output == "json" else as_text(check))
    wrong = sum(check.state == "problem" for check in checks)
    if output == "text":
        click.echo(f"{wrong} of {len(checks)} need attention." if wrong else "Nothing stands in the way of a rollout.")
    context.exit(WRONG if wrong else 0)


def as_text(check: "Check") -> str:
    """`ok      KServe: …`, and below it what to do."""
    line = f"{WORDS[check.state]} {check.about}: {check.says}"
    return f"{line}\n        → {check.do}" if check.do else line


async def _looked(
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None,
    gateway: str,
    prometheus: str | None,
    access: PrometheusAuth,
) -> "list[Check]":
    try:
        from controlplane.kubernetes.client import KubeClient
    except ImportError as error:
        raise BadInput("The Kubernetes client is not installed: pip install 'serinus[cluster]'.") from error
    from controlplane.evidence.doctor_cluster import of_cluster
    from controlplane.evidence.doctor_metrics import of_metrics

    clock = SystemClock()
    kube = await KubeClient.connect(kubeconfig=kubeconfig, context=context)
    try:
        cluster, metrics = await asyncio.gather(
            of_cluster(kube, clock, namespace=namespace, gateway=gateway),
            of_metrics(prometheus, clock, namespace=namespace, access=access),
        )
    finally:
        await kube.close()
    return [*cluster, *metrics]
