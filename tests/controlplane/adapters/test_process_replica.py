"""When a replica counts as ready, with answers that are written down instead of a server."""

import asyncio
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from canary.spec.models import ReadinessProbe, Variant
from controlplane.adapters import process_replica
from controlplane.adapters.process_listener import Held
from controlplane.adapters.process_record import ProcessRecords
from controlplane.adapters.process_replica import ProcessReplica, StartPace
from controlplane.adapters.processes import ProcessPlatform

pytestmark = pytest.mark.real
SLEEPER = Variant(
    name="v1",
    command=(sys.executable, "-c", "import time; time.sleep(60)"),
    ready=ReadinessProbe(path="/up", timeout=1.0, period=0.1, failures=2),
)


@pytest.fixture(autouse=True)
def listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers come from the server itself; whose a real port is, is asked in `test_processes.py`."""
    monkeypatch.setattr(process_replica, "holder", lambda _child, _port: Held("own"))
    monkeypatch.setattr(process_replica, "still_holds", lambda held: held.kind == "own")


async def readiness_over(folder: Path, answers: Iterator[int | Exception]) -> list[tuple[bool, str]]:
    """Each change of readiness, with the problem at that time, until the answers have run out."""
    changes: list[tuple[bool, str]] = []
    over = asyncio.Event()

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.url.path == "/up"
        given = next(answers, None)
        if given is None:
            over.set()
            return httpx2.Response(200)
        if isinstance(given, Exception):
            raise given
        return httpx2.Response(given)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        replica = ProcessReplica(
            "stable-0",
            SLEEPER,
            records=ProcessRecords(folder / "processes.json"),
            log=folder / "log",
            folder=folder,
            pace=StartPace(probe_every_s=0.0),
            client=client,
            now=itertools.count().__next__,
            changed=lambda: changes.append((replica.ready, replica.problem)),
        )
        async with asyncio.TaskGroup() as background:
            running = background.create_task(replica.keep_running())
            await over.wait()
            running.cancel()
    (folder / "logs").mkdir()
    async with ProcessPlatform(folder, now=itertools.count().__next__) as left_behind:
        await left_behind.close()
    return changes


async def test_one_failed_probe_of_a_ready_replica_is_a_busy_moment_and_two_are_not(tmp_path: Path) -> None:
    changes = await readiness_over(tmp_path, iter([503, 200, 500, 200, 503, httpx2.ReadTimeout("slow"), 200]))
    assert changes[1:] == [(True, ""), (False, "GET /up has no answer within 1 s"), (True, "")]


async def test_only_200_means_ready(tmp_path: Path) -> None:
    changes = await readiness_over(tmp_path, iter([204, 301, 404, httpx2.ConnectError("refused")]))
    assert [ready for ready, _ in changes] == [False, True]
