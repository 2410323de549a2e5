"""Which tests are slow: the marker `slow`, from a list that a run measures, so that the quick tests stay quick.

Loaded by `tests/conftest.py`. `pytest --measure-slow tests/canary` rewrites the lines of the tests that it ran in
`tests/slow.txt`. Measured is processor time, which depends little on how busy the machine is. Tests marked `real` or
`statistics` are left out of a quick run anyway, and so off the list.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

LIST = Path(__file__).parent / "slow.txt"
SLOW = 0.12
"""Seconds of processor time, set-up included, from which a test is slow."""
STATISTICS = frozenset({"seldom", "hardly", "rolled_back_than_was_asked_for", "fewer_rollouts_than_promised"})
"""What the names of tests say that repeat an experiment until a rate can be told."""
MEASURED = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that renews the list."""
    parser.addoption("--measure-slow", action="store_true", help="renew tests/slow.txt for the tests that run")


def name_of(item: pytest.Item) -> str:
    """The test's id without its parameters: one line stands for all of them."""
    return item.nodeid.partition("[")[0]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests; before the hook that leaves out what `-m` does not want."""
    slow = frozenset(LIST.read_text().split())
    for item in items:
        name = name_of(item)
        if any(word in name for word in STATISTICS):
            item.add_marker(pytest.mark.statistics)
        elif name in slow:
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Measure each test."""
    began = time.process_time()
    try:
        return (yield)
    finally:
        item.stash[MEASURED] = time.process_time() - began


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the list where that is asked for."""
    if not session.config.getoption("--measure-slow"):
        return
    taken: dict[str, float] = {}
    for item in session.items:
        if MEASURED in item.stash and not any(item.iter_markers("real")) and not any(item.iter_markers("statistics")):
            taken[name_of(item)] = max(taken.get(name_of(item), 0.0), item.stash[MEASURED])
    root = LIST.parent.parent
    known = [name for name in LIST.read_text().split() if (root / name.partition("::")[0]).exists()]
    others = [name for name in known if name not in taken]
    slow = [name for name, seconds in taken.items() if seconds >= SLOW]
    LIST.write_text("\n".join(sorted(others + slow)) + "\n")
