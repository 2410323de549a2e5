"""Servers of the API and the page: one for tests that only read, one for each that changes something. A terminal."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controlplane.api import homes
from tests.controlplane.api.serving import Serving, serving


@pytest.fixture
def at_a_terminal() -> Iterator[None]:
    """Ctrl-C reaches this process, as it does not where a shell began the tests in its background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A state directory and its server; tests leave both as they are."""
    home = tmp_path_factory.mktemp("home")
    homes.under_way(home)
    homes.put_back(home)
    with serving(home) as served:
        yield served


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Serving]:
    """A state directory with a rollout under way, for a test that changes something."""
    homes.under_way(tmp_path)
    with serving(tmp_path) as served:
        yield served
