"""Words for shell completion: rollouts, shares, namespaces and contexts. Without an answer nothing is completed.

Called by click while somebody presses the tab key, so nothing is ever printed and nothing takes long.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click
from click.shell_completion import CompletionItem

from canary.errors import SerinusError

if TYPE_CHECKING:
    from controlplane.kubectl.session import KubectlSession, Where
    from controlplane.kubernetes.api import Object, Resource

T = TypeVar("T")
SECONDS = 3.0


def complete_names(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Rollouts of the namespace that is meant so far, each with its phase."""
    from controlplane.kubernetes.resources import MODEL_CANARY

    def item(found: "Object") -> CompletionItem:
        return CompletionItem(found["metadata"]["name"], help=(found.get("status") or {}).get("phase", ""))

    return [each for each in _listed(context, MODEL_CANARY, item) if each.value.startswith(begun)]


def complete_shares(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Shares of the stages that the rollout, named before, has left."""
    from controlplane.cli.share import later_shares, rollout_meant
    from controlplane.kubectl.find import bare
    from controlplane.kubectl.record import record_of
    from controlplane.kubernetes.resources import MODEL_CANARY

    wanted = bare(rollout_meant(context, "name"))
    listed = _listed(context, MODEL_CANARY, lambda each: record_of(each) if each["metadata"]["name"] == wanted else "")
    return [
        share
        for record in listed
        if not isinstance(record, str)
        for share in later_shares(record.spec, record.rollout, begun)
    ]


def complete_namespaces(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Namespaces of the cluster."""
    from controlplane.kubernetes.resources import NAMESPACE

    found = _listed(context, NAMESPACE, lambda each: CompletionItem(each["metadata"]["name"]))
    return [each for each in found if each.value.startswith(begun)]


def complete_contexts(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Contexts of the kubeconfig."""
    from controlplane.kubectl.kubeconfig import contexts

    try:
        return [CompletionItem(each) for each in contexts(context.params.get("kubeconfig")) if each.startswith(begun)]
    except SerinusError:
        return []


def _listed(context: click.Context, resource: "Resource", item: "Callable[[Object], T]") -> list[T]:
    from controlplane.kubectl.session import Where, group_where, open_session

    said = {key: context.params.get(key) for key in ("namespace", "context", "kubeconfig", "on_behalf_of")}
    where = Where(**said).over(group_where(context))  # type: ignore[arg-type]  # - click's values are untyped
    try:
        session = (context.obj or open_session)(where)
        return asyncio.run(_items(session, where, resource, item))
    except (SerinusError, TimeoutError, OSError):
        return []


async def _items(
    session: "KubectlSession", where: "Where", resource: "Resource", item: "Callable[[Object], T]"
) -> list[T]:
    scope = session.namespace if resource.namespaced else None
    try:
        async with asyncio.timeout(SECONDS):
            return [item(each) for each in (await session.kube.list(resource, scope)).items]
    finally:
        await session.kube.close()
