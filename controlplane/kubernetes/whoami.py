"""Who we are to an API server. Used where a person's word is signed with their name."""

from canary.errors import WorldError
from controlplane.kubernetes.api import Kube, Resource

REVIEW = Resource("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False)


async def own_name(kube: Kube) -> str:
    """The name that the server knows us by; empty where it does not say (servers before 1.28 cannot be asked)."""
    try:
        told = await kube.create(REVIEW, {"metadata": {}})
        return str(told["status"]["userInfo"]["username"])
    except (WorldError, KeyError, TypeError):
        return ""
