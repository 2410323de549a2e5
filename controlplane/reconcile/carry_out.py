"""Carries out one action through its port: one exhaustive match, so that a new action cannot be forgotten.

Called by `loop.py` for everything but traffic, whose order against saving is the loop's own business.
"""

from typing import assert_never

from canary.action import Action, Evaluate, Mirror, Retire, Run, SetWeights, Stop
from canary.errors import ExternalError
from canary.spec.models import CanarySpec
from controlplane.ports import Ports, Rehearsal, Retiring


def _rehearsal(ports: Ports) -> Rehearsal:
    if ports.rehearsal is None:
        raise ExternalError("This platform has no evaluation and no shadow; the plan should not have been accepted.")
    return ports.rehearsal


async def carry_out(action: Action, spec: CanarySpec, ports: Ports) -> None:
    """Bring about what the action says. May be repeated; raises `ExternalError` when the world refuses."""
    match action:
        case SetWeights(weights):
            await ports.router.set_weights(weights)
        case Run(arm):
            await ports.platform.run(arm, spec.stable if arm == "stable" else spec.canary)
        case Stop(arm):
            await ports.platform.stop(arm)
        case Retire(arm):
            if isinstance(ports.router, Retiring):
                await ports.router.retire(arm)
        case Mirror(share):
            await _rehearsal(ports).mirror(share)
        case Evaluate():
            await _rehearsal(ports).evaluate()
        case _:
            assert_never(action)
