"""A run of Serinus to be killed: both arms and Envoy on the state folder given, 25 % on the canary, then it waits.

    small_run.py FOLDER

Prints the address for clients once everything is in force. Started by `test_envoy.py`, which ends it with SIGKILL.
"""

import asyncio
import sys
import time
from pathlib import Path

from canary.spec.models import Variant
from canary.weights import Arm, Weights
from controlplane.adapters.envoy import EnvoyRouter
from controlplane.adapters.processes import ProcessPlatform

SERVER = str(Path(__file__).with_name("small_server.py"))


def variant(arm: Arm) -> Variant:
    """A server that answers with its arm's name among its arguments."""
    return Variant(name=arm, command=(sys.executable, SERVER, "{port}", "--says", arm))


async def run(folder: Path) -> None:
    """Bring everything up, say so, wait for the end."""
    async with (
        ProcessPlatform(folder, now=time.time) as platform,
        EnvoyRouter(folder, listen="127.0.0.1:0", now=time.time) as router,
    ):
        await platform.run("stable", variant("stable"))
        await platform.run("canary", variant("canary"))
        while not all(platform.endpoints().values()):  # noqa: ASYNC110 - readiness comes from other processes
            await asyncio.sleep(0.01)
        await router.set_endpoints(platform.addresses(), platform.endpoints())
        await router.set_weights(Weights(250_000))
        sys.stdout.write(f"{router.address}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))
