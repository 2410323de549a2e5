"""Whether an operator seems to be at work, for people whose wait ran out: the dashboard's own words."""

from controlplane.kubectl.session import KubectlSession
from controlplane.readmodel import operators


async def whether_one_runs(session: KubectlSession) -> str:
    """One sentence for a person."""
    return await operators.whether_one_runs(session.kube, session.now())
