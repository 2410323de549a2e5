"""`kubectl canary events`: the Kubernetes Events about one rollout, oldest first."""

from collections.abc import Sequence

import click

from controlplane.kubectl.names import complete_names
from controlplane.kubectl.session import KubectlSession, at_cluster
from controlplane.kubernetes.api import Object

HEAD = ("LAST SEEN", "TYPE", "REASON", "MESSAGE")


@click.command("events")
@click.argument("name", shell_complete=complete_names)
@click.option("-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", help="What to print.")
@click.option("--no-headers", is_flag=True, help="Omit the header line.")
@at_cluster
async def command(session: KubectlSession, name: str, output: str, no_headers: bool) -> int:
    """Print the Kubernetes Events about a rollout, as far as the cluster still has them (an hour, by default)."""
    from controlplane.kubectl.find import canary
    from controlplane.kubectl.listing import age
    from controlplane.kubectl.output import show_objects
    from controlplane.view.table import table, width_here
    from controlplane.view.text import clean

    found = await about(session, await canary(session, name))
    if output != "table":
        show_objects(found, output)
        return 0
    if not found:
        click.echo(f"The cluster keeps no Events about {session.called(name)}.", err=True)
        return 0
    rows = [
        (
            age(_when(each), session.now()),
            each.get("type", ""),
            each.get("reason", ""),
            clean(str(each.get("note", ""))),
        )
        for each in found
    ]
    for line in table(() if no_headers else HEAD, rows, width_here()):
        click.echo(line)
    return 0


async def about(session: KubectlSession, object_: Object) -> Sequence[Object]:
    """The Events about this very object, oldest first."""
    from controlplane.kubernetes.resources import EVENT

    meta = object_["metadata"]
    listed = (await session.kube.list(EVENT, meta["namespace"])).items
    return sorted((each for each in listed if (each.get("regarding") or {}).get("uid") == meta["uid"]), key=_when)


def _when(event: Object) -> str:
    """When it was seen last, as RFC 3339."""
    series = (event.get("series") or {}).get("lastObservedTime")
    stamp = series or event.get("eventTime") or event.get("deprecatedLastTimestamp")
    return str(stamp or event["metadata"].get("creationTimestamp", ""))
