"""The order of the tests where several workers share them: what waits for real programs begins first.

Called by pytest. xdist deals the list out in equal parts from its beginning. So one worker is given the tests that
mostly wait, and the others compute on the cores that it leaves free; whoever is done takes over from the end of
another's part, and no test of half a minute is the last to begin. A run without workers keeps the order of the files.
"""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
LONGEST = ("controlplane/cli/test_demo.py", "stories/test_csat.py", "controlplane/reconcile/test_past_real.py")
"""Half a minute each, all of it the length of a story told with real processes."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files stay whole, because their tests share what their fixtures have started."""
    if not hasattr(config, "workerinput"):
        return
    longest = [HERE / name for name in LONGEST]
    waiting = {item.path for item in items if item.get_closest_marker("real")}
    items.sort(key=lambda item: (item.path not in longest, item.path not in waiting))
