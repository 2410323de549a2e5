"""The evaluation of a rollout on this machine: begun once, patient with servers, and heard of by the machine."""

import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from canary.errors import ExternalError
from canary.verdict import GateAnswer
from canary.weights import Arm
from controlplane.evaluation import rehearsal
from controlplane.evaluation.loading import load_file
from controlplane.evaluation.rehearsal import LocalRehearsal
from tests.controlplane.adapters.waiting import until
from tests.controlplane.evaluation.chat_server import ChatServer
from tests.controlplane.evaluation.evaluations import write


def opened(folder: Path, servers: Mapping[Arm, ChatServer | None], said: list[str]) -> LocalRehearsal:
    loaded = load_file(write(folder, 60, request={"retries": 1}))

    def endpoints() -> Mapping[Arm, Mapping[str, str]]:
        return {arm: {"0": each.url.removeprefix("http://")} for arm, each in servers.items() if each is not None}

    return LocalRehearsal(loaded, endpoints, folder / "state", identity="r", now=time.monotonic, say=said.append)


async def test_a_canary_that_answers_wrong_fails_and_stable_is_named(tmp_path: Path) -> None:
    said: list[str] = []
    servers: dict[Arm, ChatServer | None] = {"stable": ChatServer(), "canary": ChatServer(lambda _body: "No.")}
    async with servers["stable"].listening(), servers["canary"].listening():  # type: ignore[union-attr]  # both are there
        port = opened(tmp_path, servers, said)
        assert await port.seen() == (None, None)
        await port.evaluate()
        await port.evaluate()
        await until(lambda: port._outcome is not None)
        seen = (await port.seen())[0]
        await port.forget()
        await port.close()
    assert seen is not None
    assert (seen.done, seen.verdict) == (True, GateAnswer.FAIL)
    assert (seen.canary, seen.stable) == ({"contains": 0.0}, {"contains": 1.0})
    assert "answered worse" in seen.why[0]
    assert said == ["60 items can show a drop of 23.8 points, if one answer in ten differs."]


async def test_r4_a_replica_that_is_not_there_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "FIRST_PAUSE_S", 0.01)
    canary = ChatServer()
    servers: dict[Arm, ChatServer | None] = {"stable": ChatServer(), "canary": None}
    async with canary.listening(), servers["stable"].listening():  # type: ignore[union-attr]  # it is there
        port = opened(tmp_path, servers, [])
        await port.evaluate()
        await until(lambda: bool(port._problem))
        seen = (await port.seen())[0]
        assert seen is not None
        assert not seen.done
        assert "none of its replicas is ready" in seen.problem
        servers["canary"] = canary
        await until(lambda: port._outcome is not None)
        seen = (await port.seen())[0]
        await port.close()
    assert seen is not None
    assert (seen.done, seen.verdict, seen.problem) == (True, GateAnswer.PASS, "")


async def test_nothing_is_mirrored_here(tmp_path: Path) -> None:
    port = opened(tmp_path, {}, [])
    with pytest.raises(ExternalError, match="copies no requests"):
        await port.mirror(0.1)
    await port.close()
