"""Servers of the API and the page: one for tests that only read, one for each test that changes something."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controlplane.api import homes
from tests.controlplane.api.serving import Serving, serving


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
