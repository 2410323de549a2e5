"""Both variants asked what they are: by their endpoints, by their files; and what cannot be told stays unknown."""

import asyncio
from pathlib import Path
from typing import Any

from canary.snapshot import FingerprintStatus
from canary.weights import Arm
from controlplane.adapters.bounded_http import BoundedHttp
from controlplane.adapters.system_clock import SystemClock
from controlplane.profiles import served as module
from controlplane.profiles.identity import MOST_BYTES
from controlplane.profiles.served import ServedIdentity
from tests.canary.story import plan
from tests.controlplane.profiles.served_model import ServedModel, served
from tests.controlplane.profiles.test_identity import model


async def compared(here: str, there: str, *, files: bool = False, **variants: Any) -> FingerprintStatus:
    """What stable, served here, and the canary, served there, tell; more fields of the variants by role."""
    spec = plan(
        stable={"name": "v1", **variants.get("stable", {})}, canary={"name": "v2", **variants.get("canary", {})}
    )
    arms: dict[Arm, dict[str, str]] = {"stable": {"a": here}, "canary": {"b": there}}
    http = BoundedHttp(most_bytes=MOST_BYTES)
    try:
        return await ServedIdentity(spec, lambda: arms, http, clock=SystemClock(), files=files).compare()
    finally:
        await http.close()


def at(server: ServedModel) -> str:
    return f"127.0.0.1:{server.server_port}"


async def test_two_servers_of_one_model_agree() -> None:
    with served() as stable, served() as canary:
        found = await compared(at(stable), at(canary))
    assert (found.done, found.differences, found.problem) == (True, (), "")
    assert found.known == ("tokenizer", "chat_template", "engine_version", "context_length")
    assert "/v1/chat/completions" not in stable.asked + canary.asked  # no answer is generated for it


async def test_what_a_server_tells_otherwise_is_named() -> None:
    with served("--template", "a") as stable, served("--template", "b", "--context", "8192") as canary:
        found = await compared(at(stable), at(canary))
    assert [(each.field, each.harmless) for each in found.differences] == [
        ("chat_template", False),
        ("context_length", True),
    ]


async def test_a_server_that_offers_none_of_it_makes_unknown_what_it_does_not_tell() -> None:
    with served() as stable, served("--mute") as canary:
        found = await compared(at(stable), at(canary))
    assert (found.done, found.differences, found.known) == (True, (), ())
    assert found.problem.startswith("v2 does not tell: http://127.0.0.1:")
    assert canary.asked == ["/v1/models"]


async def test_who_does_not_answer_is_asked_again_and_in_the_end_left_alone(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "TRIES", 2)
    with served() as stable:
        arms: dict[Arm, dict[str, str]] = {"stable": {"a": at(stable)}, "canary": {"b": "127.0.0.1:9"}}
        http = BoundedHttp()
        identity = ServedIdentity(plan(), lambda: arms, http, clock=SystemClock())
        first, second = await identity.compare(), await identity.compare()
        await http.close()
    assert (first.done, second.done) == (False, True)
    assert first.problem == "v2 does not tell: nobody listens there"
    assert second.known == ()


async def test_folders_that_the_plan_names_are_read_where_the_endpoints_do_not_tell(tmp_path: Path) -> None:
    first, second = model(tmp_path / "a"), model(tmp_path / "b", template="{{ other }}")
    with served("--mute") as stable, served("--mute") as canary:
        found = await compared(
            at(stable),
            at(canary),
            files=True,
            stable={"uri": f"file://{first}"},
            canary={"command": ["server", "--model", str(second)]},
        )
    assert [each.field for each in found.differences] == ["chat_template"]
    assert "stop_tokens" in found.known


async def test_a_folder_that_cannot_be_read_is_unknown_and_nothing_else(tmp_path: Path) -> None:
    broken = model(tmp_path / "b")
    (broken / "config.json").write_text("{")
    with served("--mute") as stable, served("--mute") as canary:
        uri = {"uri": str(model(tmp_path / "a"))}
        found = await compared(at(stable), at(canary), files=True, stable=uri, canary={"uri": str(broken)})
    assert (found.done, found.differences, found.known) == (True, (), ())


async def test_a_server_that_answers_without_end_is_left(monkeypatch: Any) -> None:
    """Neither memory nor time is without bounds."""

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            while not writer.is_closing():
                writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(endless, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        found = await compared(f"127.0.0.1:{port}", f"127.0.0.1:{port}")
    assert "larger than" in found.problem


async def test_a_canary_without_the_name_that_stable_answers_to_is_named() -> None:
    """As vLLM has it that names a checkpoint by its path."""
    with served("--model", "m") as stable, served("--model", "models/m-w8a8") as canary:
        found = await compared(at(stable), at(canary))
    (difference,) = [each for each in found.differences if each.field == "model_name"]
    assert (difference.stable, difference.canary) == ("m", "models/m-w8a8")
    with served("--model", "a") as stable, served("--model", "b") as canary:
        found = await compared(at(stable), at(canary))
    assert "model_name" not in [each.field for each in found.differences]
