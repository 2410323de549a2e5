"""Each action goes to its port."""

import pytest

from canary.action import Evaluate, Mirror, Run, SetWeights, Stop
from canary.errors import ExternalError
from canary.weights import ALL_STABLE
from controlplane.reconcile.carry_out import carry_out
from tests.controlplane.reconcile.desk import Desk


async def test_run_and_stop_go_to_the_platform() -> None:
    """Running an arm gives it replicas, stopping takes them."""
    desk = Desk()
    await carry_out(Run("canary"), desk.spec, desk.reconciler.ports)
    assert desk.platform.addresses()["canary"]
    await carry_out(Stop("canary"), desk.spec, desk.reconciler.ports)
    assert not desk.platform.addresses()["canary"]


async def test_weights_go_to_the_router() -> None:
    """And are in force when it returns."""
    desk = Desk()
    await carry_out(SetWeights(ALL_STABLE), desk.spec, desk.reconciler.ports)
    assert (await desk.router.seen()).weights == ALL_STABLE


@pytest.mark.parametrize("action", [Evaluate(), Mirror(1.0)])
async def test_what_a_platform_does_not_have_is_an_error_and_no_silence(action: Evaluate | Mirror) -> None:
    """A plan with a shadow must not look as if it had one."""
    desk = Desk()
    with pytest.raises(ExternalError, match="no evaluation and no shadow"):
        await carry_out(action, desk.spec, desk.reconciler.ports)
