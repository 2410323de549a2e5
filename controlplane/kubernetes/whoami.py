"""Who we are to an API server. Used where a person's word is signed with their name."""

from typing import NamedTuple

from canary.errors import ExternalError
from controlplane.kubernetes.api import Kube, Resource

REVIEW = Resource("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False)


class KubeIdentity(NamedTuple):
    """Somebody, as the API server knows them."""

    name: str = ""
    """Empty where it does not say."""
    groups: tuple[str, ...] = ()


async def own_identity(kube: Kube) -> KubeIdentity:
    """Who we are; nobody where the server does not say (those before 1.28 cannot be asked)."""
    try:
        told = (await kube.create(REVIEW, {"metadata": {}}))["status"]["userInfo"]
        return KubeIdentity(str(told["username"]), tuple(str(each) for each in told.get("groups") or ()))
    except (ExternalError, KeyError, TypeError):
        return KubeIdentity()
