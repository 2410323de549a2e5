"""The story told whole: a commit brings a canary whose users are less content; it is put back, and all say the same.

As a user would have it: `serinus controller --git` in a process of its own, a bare repository, two sample servers
behind the real Envoy, real requests, a webhook receiver, `serinus why` and a real Chromium before the real API. The
gates are those that business people write: CSAT may drop by 3 %, one session in twenty may be escalated. It drops by 4.
"""

import asyncio
import json
import random
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import sync_playwright

from canary.yaml_edit import promoted
from controlplane.adapters.envoy_config import addresses_in
from controlplane.private_files import read_json
from controlplane.program import stop_all
from controlplane.sample.load import SampleLoad, Stats
from tests.controlplane.alerts.receivers import Receiver
from tests.controlplane.api.serving import serving
from tests.controlplane.cli.test_controller import controlled
from tests.controlplane.dashboard.conftest import FLAGS
from tests.controlplane.dashboard.looking import looking
from tests.controlplane.gitops.origin import Origin
from tests.controlplane.real import FAST, SERVER, LeftBehind, Run, write_plan

FILE = "apps/real/canary.yml"
CSAT, DROP = 0.95, 0.04
RATE = 120.0
READERS = 100
"""People who rate each answer. One percentage point between 3 % and 4 % is shown by some ten thousand ratings, and a
busy machine should need a minute for them, not an hour."""
CONTENT = [*SERVER, *FAST, "--readers", str(READERS), "--kpi", f"csat={CSAT}", "--kpi", "escalation_rate=0.02"]
GATES = ["csat drop <= 3%", "escalation_rate <= 5%"]
STAGES: list[dict[str, Any]] = [{"traffic": "50%", "hold": "5m", "gates": GATES}, {"traffic": "100%", "hold": "1m"}]


@pytest.mark.real
@pytest.mark.timeout(600)
async def test_csat_falls_by_four_percent_and_everybody_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back within a minute of the fall, by one commit, with one alert and one sentence."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip(
            "There is no Chromium on this machine: the page could not be looked at. Debian: apt install chromium."
        )
    origin, state = Origin(tmp_path / "origin.git"), tmp_path / "state"
    async with Receiver() as pager:
        monkeypatch.setenv("PAGER", pager.url())
        text = write_plan(
            tmp_path,
            stages=STAGES,
            stable=CONTENT,
            canary=[*CONTENT, "--seed", "1"],
            alerts=[{"webhook": {"urlFrom": {"env": "PAGER"}}, "on": ["rolledBack"]}],
        ).read_text()
        brought = origin.commit({FILE: text}, "Try v2: friendlier answers")

        with LeftBehind(state):
            async with controlled(origin, state) as run:
                stats = await _users_become_less_content(run, state)
                end = await run.until(event="end")
                await run.until_said("the commit that puts the file back is")
                await pager.until(lambda: len(pager.got) > 0)
                run.process.send_signal(signal.SIGTERM)
                assert await run.end() == 0
            sentence = next(event for event in run.events if event["phase"] == "RollingBack")["message"]

            _traffic_went_back(end, stats, sentence)
            _git_has_the_rollback_with_its_evidence(origin, text, brought, sentence)
            _the_alert_was_out_once(pager, brought, sentence)
            assert sentence in await _why(state)
            assert await asyncio.to_thread(_page, chromium, state / "rollouts") == sentence
            await stop_all(state / "rollouts" / "real")


async def _users_become_less_content(run: Run, state: Path) -> Stats:
    """Requests flow; once the canary has its share, its readers are 4 % less content; until the rollback."""
    address = (await run.until_said("clients connect to http://")).split("http://")[1].split(";")[0]
    host, port = address.rsplit(":", 1)
    await run.until(event="phase", phase="Shifting")  # before that there is nobody to answer
    load, stop = SampleLoad(host, int(port), rate=RATE, chance=random.Random(1)), asyncio.Event()
    async with asyncio.TaskGroup() as users:
        users.create_task(load.run(stop))
        await run.until(event="phase", phase="Analyzing")
        async with httpx2.AsyncClient(timeout=60) as client:
            knobs = {"kpis": {"csat": CSAT * (1 - DROP)}}
            (await client.post(f"http://{_canary(state)}/knobs", json=knobs)).raise_for_status()
        await run.until(280.0, event="end")
        stop.set()
    return load.stats


def _canary(state: Path) -> str:
    """Where the canary's server listens, as Envoy was told."""
    clusters = read_json(state / "rollouts" / "real" / "envoy" / "clusters.json")
    return str(addresses_in(clusters)["canary-0"])


def _traffic_went_back(end: dict[str, Any], stats: Stats, sentence: str) -> None:
    assert end["result"] == "rolled_back"
    assert sentence.startswith("csat: ")
    assert end["decided"] <= end["zero"]
    assert not stats.lost
    assert stats.failures == 0
    assert stats.variants["canary"].answers > 0


def _git_has_the_rollback_with_its_evidence(origin: Origin, text: str, brought: str, sentence: str) -> None:
    """One commit more, which changes nothing but the canary's lines."""
    assert origin.count() == 2
    assert origin.text(FILE, brought) == text
    assert origin.text(FILE) != text
    assert promoted(origin.text(FILE)) == origin.text(FILE), "stable and canary are the same again"
    message = " ".join(origin.message().split())
    assert " ".join(sentence.split()) in message
    trailer = next(line for line in origin.message().splitlines() if line.startswith("Serinus-Evidence: "))
    evidence = json.loads(trailer.split(": ", 1)[1])
    assert evidence["gate"] == GATES[0]
    assert evidence["canary"] < evidence["stable"] * 0.97


def _the_alert_was_out_once(pager: Receiver, brought: str, sentence: str) -> None:
    (delivery,) = pager.got
    alert = json.loads(delivery.body)
    assert alert["type"] == "dev.serinus.alert.rolledBack.firing"
    assert alert["data"]["sentence"] == sentence
    assert alert["data"]["commit"] == brought


async def _why(state: Path) -> str:
    """What `serinus why` says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "controlplane.cli.main", "why", "real", "--state", str(state / "rollouts" / "real")),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    return said.decode()


def _page(chromium: str, home: Path) -> str:
    """The sentence on the rollout's page, as a person reads it. Playwright wants a thread without an event loop."""
    with serving(home) as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        try:
            with looking(browser, served) as page:
                page.get_by_role("link", name="real").click()
                shown = page.locator(".sentence")
                shown.wait_for(timeout=60_000)
                return shown.inner_text()
        finally:
            browser.close()
