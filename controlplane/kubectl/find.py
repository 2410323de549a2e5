"""One ModelCanary by its name; where there is none, the names that may have been meant.

Used by every verb that takes a name.
"""

from difflib import get_close_matches

from canary.errors import BadInput, ExternalError
from controlplane.kubectl.session import KubectlSession
from controlplane.kubectl.trouble import NOT_INSTALLED
from controlplane.kubernetes.api import NotFound, Object, ObjectList
from controlplane.kubernetes.resources import MODEL_CANARY

SHOWN = 3
"""Names that are offered at the most."""
PREFIXES = ("modelcanary/", "modelcanaries/", "mcan/", "modelcanary.serinus.dev/", "modelcanaries.serinus.dev/")


def bare(name: str) -> str:
    """`modelcanary/chat`, as `-o name` prints it, is chat."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


async def canary(session: KubectlSession, name: str) -> Object:
    """The ModelCanary of this name. Raises `BadInput` where there is none, naming those that are near."""
    try:
        return await session.kube.get(MODEL_CANARY, session.namespace, bare(name))
    except NotFound as error:
        raise BadInput(await _nearest(session, bare(name))) from error


async def canaries(session: KubectlSession) -> ObjectList:
    """All of them in scope. Raises `BadInput` where the cluster does not know the kind."""
    try:
        return await session.kube.list(MODEL_CANARY, session.scope)
    except NotFound as error:
        raise BadInput(NOT_INSTALLED) from error


async def _nearest(session: KubectlSession, name: str) -> str:
    missing = f"There is no ModelCanary {session.called(name)}."
    try:
        here = [each["metadata"]["name"] for each in (await canaries(session)).items]
    except ExternalError:
        return missing  # who may get one by name need not be allowed to list them
    if near := get_close_matches(name, here, SHOWN):
        return f"{missing} Did you mean {' or '.join(near)}?"
    try:
        anywhere = (await session.kube.list(MODEL_CANARY)).items
    except ExternalError:
        anywhere = ()
    spaces = sorted({each["metadata"]["namespace"] for each in anywhere if each["metadata"]["name"] == name})
    if spaces:
        return f"{missing} There is one in {' and in '.join(spaces)}: add -n {spaces[0]}."
    if here:
        more = ", …" if len(here) > SHOWN else ""
        return f"{missing} There are {', '.join(sorted(here)[:SHOWN])}{more}: `kubectl canary list` shows them."
    return f"{missing} There is none at all in this namespace: `kubectl canary list -A` looks everywhere."
