"""`kubectl canary list`: every rollout of a namespace or of the cluster, those that may need somebody first.

Everything is read off the status, without understanding any plan, so that a thousand are listed in an instant.
"""

from collections.abc import Sequence
from datetime import datetime

import click

from canary.format import duration
from controlplane.kubectl.find import canaries
from controlplane.kubectl.output import Shape, show_objects
from controlplane.kubectl.session import KubectlSession, at_cluster, everywhere
from controlplane.kubernetes.api import Object
from controlplane.operator.shape import status_in
from controlplane.view.urgency import urgency

HEAD = ("NAME", "PHASE", "STAGE", "WEIGHT", "VERDICT", "SINCE")
WIDE = ("SEEN", "STABLE", "CANARY", "ATTEMPT", "REVISION")


@click.command("list")
@everywhere
@click.option("-o", "--output", type=Shape("table", "wide", "json", "yaml", "name"), default="table", help="How.")
@click.option("--no-headers", is_flag=True, help="Omit the header line.")
@at_cluster
async def command(session: KubectlSession, output: str, no_headers: bool) -> int:
    """List rollouts, those that may need somebody first."""
    from controlplane.view.table import table, width_here

    found = sorted((await canaries(session)).items, key=_need)
    if output not in {"table", "wide"}:
        show_objects(found, output)
        return 0
    if not found:
        where = "in any namespace" if session.everywhere else f"in namespace {session.namespace}; -A looks everywhere"
        click.echo(f"There is no ModelCanary {where}.", err=True)
        return 0
    head = (*(["NAMESPACE"] if session.everywhere else []), *HEAD, *(WIDE if output == "wide" else ()), "MESSAGE")
    rows = [row(each, session, wide=output == "wide") for each in found]
    for line in table(() if no_headers else head, rows, width_here()):
        click.echo(line)
    return 0


def row(object_: Object, session: KubectlSession, *, wide: bool) -> Sequence[str]:
    """One line."""
    meta, spec = object_["metadata"], object_.get("spec") or {}
    status = status_in(object_)
    cells = [meta["namespace"]] if session.everywhere else []
    cells += [meta["name"], phase_of(object_)]
    cells += [str(status.get(key) or "-") for key in ("stageText", "weight", "verdict")]
    since = status.get("since") or meta.get("creationTimestamp")
    cells.append(age(since, session.now()))
    if wide:
        cells.append(str(status.get("weightSeen") or "-"))
        cells += [_name_of(spec.get(arm)) for arm in ("stable", "canary")]
        cells += [str(status.get("attempt") or "-"), str(status.get("revision") or "-")[:12]]
    return [*(" ".join(cell.split()) for cell in cells), message_of(object_)]


def phase_of(object_: Object) -> str:
    """The phase, or why there is none."""
    status = status_in(object_)
    if refusal_of(object_):
        return "InvalidSpec" if not status.get("phase") else f"{status['phase']}!"
    return "Queued" if queue_of(object_) else str(status.get("phase") or "NotSeen")


def message_of(object_: Object) -> str:
    """The sentence that stands beside the phase, without control characters."""
    from controlplane.view.text import clean

    status = status_in(object_)
    return clean(refusal_of(object_) or queue_of(object_) or str(status.get("message") or NOT_SEEN))


NOT_SEEN = "No operator has looked at it yet."


def refusal_of(object_: Object) -> str:
    """What is wrong with the present spec, as the operator says; empty where nothing is."""
    return said_of(object_, "Accepted", "False")


def queue_of(object_: Object) -> str:
    """What it waits for before it begins, as the operator says; empty where it waits for nothing."""
    return said_of(object_, "Queued", "True")


def said_of(object_: Object, kind: str, truth: str) -> str:
    """The sentence of a condition; empty unless it is this true."""
    listed = status_in(object_).get("conditions", ())
    told = next((each for each in listed if each.get("type") == kind and each.get("status") == truth), None)
    return str(told.get("message") or told.get("reason") or truth) if told else ""


def age(stamp: str | None, now: float) -> str:
    """How long ago, to one digit that matters: `4 min`."""
    if not stamp:
        return "-"
    try:
        passed = now - datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return "-"
    return duration(float(int(max(passed, 0.0))))


def _name_of(variant: object) -> str:
    return str(variant.get("name") or "-") if isinstance(variant, dict) else "-"


def _need(object_: Object) -> tuple[int, str, str]:
    phase, meta = str(status_in(object_).get("phase") or ""), object_["metadata"]
    order = 1 if refusal_of(object_) else urgency(phase)
    return order, meta["namespace"], meta["name"]
