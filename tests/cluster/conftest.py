"""The test bed for the tests of this folder: one of each kind a session, a fresh namespace a test.

Run by `make test-cluster`, which builds the bed's binaries first; `make test` leaves this folder out. A part that this
machine cannot run is a failure where `CI` is set, and elsewhere is named at the end, with why and what would run it.
While you write tests, `SERINUS_TESTBED_KEEP=1` leaves the bed up and uses it again the next time.
"""

import fcntl
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.cluster import bed
from tests.cluster.bed import Light, Node, UnavailableError

B = TypeVar("B", Light, Node)
NUMBER = os.environ.setdefault("SERINUS_TESTBED_NUMBER", "1")
"""Which of this machine's beds: not the one of `make cluster`, which is 0."""
KEEP = os.environ.get("SERINUS_TESTBED_KEEP", "") not in {"", "0"}
STRICT = os.environ.get("CI", "").lower() not in {"", "0", "false"}
SECONDS = 600
"""Limit of a test that names none."""
MISSING = pytest.StashKey[dict[str, UnavailableError]]()


@pytest.fixture(scope="session")
def light(pytestconfig: pytest.Config) -> Iterator[Light]:
    """A real API server with KServe's controller, and pods that only pretend (kwok). Needs no root; up in 15 s."""
    with _alone("light"):
        yield from _until_the_end(pytestconfig, "light", Light.up)


@pytest.fixture(scope="session")
def node(pytestconfig: pytest.Config) -> Iterator[Node]:
    """A real node with pods, four pretended GPUs, Envoy Gateway, KServe and Prometheus. Needs root; up in 40 s."""
    with _alone("node"):
        yield from _until_the_end(pytestconfig, "node", Node.up)


@pytest.fixture(scope="session")
def own_image(node: Node) -> str:
    """What the project's Dockerfile gives, on the node; its repository."""
    return node.import_own_image("serinus-own")


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of this test alone, in each bed that it uses; everything in it is gone before the next test."""
    used = [request.getfixturevalue(name) for name in ("light", "node") if name in request.fixturenames]
    assert used, "a test with a namespace asks for `light` or `node` as well"
    name = f"{bed.slug(request.node.name)[:32].strip('-')}-{secrets.token_hex(2)}"
    with ExitStack() as stack:
        for each in used:
            stack.enter_context(each.namespace(name))
        yield name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Time each test alone: a bed that comes up for the first of them has limits of its own."""
    for item in items:
        named = item.get_closest_marker("timeout")
        seconds = named.args[0] if named and named.args else SECONDS
        item.add_marker(pytest.mark.timeout(seconds, func_only=True), append=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what did not run."""
    for part, missing in config.stash.get(MISSING, {}).items():
        kind = "failed" if STRICT else "did not run"
        terminalreporter.section(f"the {part} test bed is not available: its tests {kind}")
        terminalreporter.line(missing.reason)
        if missing.remedy:
            terminalreporter.line(missing.remedy)


def _until_the_end(config: pytest.Config, part: str, up: Callable[[], B]) -> Iterator[B]:
    """The bed, brought up now and down at the session's end; or the reason why this machine cannot have it."""
    try:
        with _locked(f"{part}-{NUMBER}-coming-up", fcntl.LOCK_EX):
            yielded = up()
    except UnavailableError as error:
        config.stash.setdefault(MISSING, {})[part] = error
        if STRICT:
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    except BaseException:
        _down(part)
        raise
    yield yielded
    _down(part)


def _down(part: str) -> None:
    if not KEEP:
        bed.run(part, "down")


def _alone(part: str) -> AbstractContextManager[None]:
    """Nobody else brings this bed up or down meanwhile. Sessions that keep the bed share it."""
    return _locked(f"{part}-{NUMBER}", fcntl.LOCK_SH if KEEP else fcntl.LOCK_EX)


@contextmanager
def _locked(name: str, kind: int) -> Iterator[None]:
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("SERINUS_TESTBED_CACHE") or Path(caches) / "serinus-testbed")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"lock-{name}").open("w") as lock:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write("· another session has the test bed; this one waits for it\n")
            fcntl.flock(lock, kind)
        yield
