"""What is wrong between us and the cluster, in one sentence that says what to do.

Used by `session.py` and `find.py`. Takes the errors of `controlplane.kubernetes`; asks the server nothing.
"""

import re

from canary.errors import ExternalError, Unavailable
from controlplane.kubernetes.api import Rejected

NOT_INSTALLED = (
    "This cluster does not know ModelCanaries: Serinus is not installed in it. Install the chart (charts/serinus), or "
    "at least its CRD: kubectl apply --server-side -f manifests/crd/modelcanaries.serinus.dev.yaml"
)
_FORBIDDEN = re.compile(r'User "(?P<who>[^"]*)" cannot (?P<what>.+?)\.?$', re.DOTALL)
_ROLES = "Watching rollouts needs the role view there, acting on them edit (the chart adds ModelCanaries to both)."


def sentence_of(error: ExternalError) -> str:
    """What happened and what to do."""
    said = str(error).rstrip(".")
    if isinstance(error, Rejected) and "is forbidden" in said:
        return forbidden(said)
    if "does not accept who we are" in said:
        return f"{said}. Log in again, or choose who you are with --context."
    if isinstance(error, Unavailable):
        told = said.partition(": ")[2] if said.startswith(("get ", "list ", "patch ", "create ", "watch ")) else said
        return (
            f"{told[:1].upper()}{told[1:]}. Look at `kubectl cluster-info`, or choose another cluster with --context."
        )
    return f"{said}."


def forbidden(said: str) -> str:
    """Who may not do what to which resource, in the server's words, and whom to ask."""
    found = _FORBIDDEN.search(said)
    if found is None:
        return f"{said}. {_ROLES}"
    return f"{found['who']} may not {found['what']}. {_ROLES}"
