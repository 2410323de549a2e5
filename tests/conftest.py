"""The order of the tests where several workers share them, and what a busy machine may not decide.

Called by pytest. What waits for real programs begins first: xdist deals the list out in equal parts from its beginning,
so one worker is given the tests that mostly wait, and the others compute on the cores that it leaves free; whoever is
done takes over from the end of another's part, and no test of half a minute is the last to begin. A run without workers
keeps the order of the files.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.patience import PatientLoop

# How long an example takes says how busy the machine is: it fails no test.
settings.register_profile("untimed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

pytest_plugins = ["tests.tempo"]
HERE = Path(__file__).parent
LONGEST = ("controlplane/cli/test_demo.py", "stories/test_csat.py", "controlplane/reconcile/test_past_real.py")
"""Half a minute each, all of it the length of a story told with real processes."""


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], PatientLoop]]:
    """What each asynchronous test runs on; it calls nothing late only because the machine was."""
    return {"patient": PatientLoop}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files stay whole, because their tests share what their fixtures have started."""
    if not hasattr(config, "workerinput"):
        return
    longest = [HERE / name for name in LONGEST]
    waiting = {item.path for item in items if item.get_closest_marker("real")}
    items.sort(key=lambda item: (item.path not in longest, item.path not in waiting))
