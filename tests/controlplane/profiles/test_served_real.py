"""`serinus run`, for real, with variants that tell what they are: a silent change never gets a request."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.controlplane.profiles import served_model
from tests.controlplane.real import LeftBehind, Run, running, write_plan

pytestmark = pytest.mark.real
SERVER = [sys.executable, str(Path(served_model.__file__)), "--port", "{port}"]
STAGES = [{"traffic": "50%", "hold": "1s"}, {"traffic": "100%"}]


async def rolled_out(folder: Path, *canary: str, **fingerprint: Any) -> tuple[Run, int]:
    """The rollout of a canary that is served with these flags beside a plain stable variant; and its exit code."""
    fields: dict[str, Any] = {"fingerprint": fingerprint} if fingerprint else {}
    plan = write_plan(folder, stable=SERVER, canary=[*SERVER, *canary], stages=STAGES, **fields)
    with LeftBehind(folder / "state"):
        async with running(plan, folder / "state") as run:
            code = await run.end()
    return run, code


async def test_another_chat_template_ends_the_rollout_before_any_traffic(tmp_path: Path) -> None:
    run, code = await rolled_out(tmp_path, "--template", "other", policy="block")
    assert code == 1
    assert [event["weight"] for event in run.events if event["event"] == "weights"] == []
    (blocked,) = [event for event in run.events if event["reason"] == "FingerprintBlocked"]
    assert "chat template differs (probe:" in blocked["message"]
    assert "No request reached it; v1 serves as before." in blocked["message"]
    assert run.events[-1]["result"] == "failed"


async def test_by_default_it_is_told_and_the_rollout_goes_on(tmp_path: Path) -> None:
    run, code = await rolled_out(tmp_path, "--template", "other", "--version", "0.27.1")
    assert code == 0
    (told,) = [event for event in run.events if event["reason"] == "FingerprintDiffers"]
    assert {each["field"] for each in told["evidence"]["differences"]} == {"chat_template", "engine_version"}


async def test_a_change_that_the_plan_names_passes(tmp_path: Path) -> None:
    run, code = await rolled_out(tmp_path, "--template", "other", policy="block", allow=["chat_template"])
    assert code == 0
    assert not [event for event in run.events if event["reason"].startswith("Fingerprint")]
