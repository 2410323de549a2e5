"""Takes the pictures of the documentation: a real rollout on this machine, photographed in a real Chromium.

Run by hand after the dashboard has changed: `.venv/bin/python scripts/pictures.py`. Three minutes; writes
`docs/pictures/`. The canary is as quick and as sound as stable; at 25 % its readers begin to be less content.
"""

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import Page, sync_playwright

from controlplane.adapters.envoy_config import addresses_in
from controlplane.private_files import read_json

OUTPUT = Path(__file__).parent.parent / "docs" / "pictures"
PORT = 18080
CSAT, FALLS_TO = 0.94, 0.88
SERVER = [sys.executable, "-m", "controlplane.sample.server", "--port", "{port}", "--name", "{name}"]
CONTENT = [*SERVER, "--readers", "12", "--kpi", f"csat={CSAT}"]
GATES = ["error_rate <= 1%", "latency p95 <= 250ms", "csat drop <= 3%"]
PLAN: dict[str, Any] = {
    "apiVersion": "serinus.dev/v1alpha1",
    "kind": "ModelCanary",
    "metadata": {"name": "support-llm"},
    "spec": {
        "model": {"name": "sample-llm"},
        "platform": {"local": {"listen": f"127.0.0.1:{PORT}", "scrapeInterval": "1s"}},
        "stable": {"name": "bf16", "command": CONTENT},
        "canary": {"name": "nf4", "command": [*CONTENT, "--seed", "1"]},
        "stages": [
            {"traffic": "5%", "hold": "30s", "gates": GATES[:2]},
            {"traffic": "25%", "hold": "2m", "gates": GATES},
            {"traffic": "75%", "hold": "1m", "gates": GATES},
            {"traffic": "100%", "hold": "1m"},
        ],
    },
}


def main() -> None:
    """Play the rollout, and take pictures of its page when it is back: one wide, one on a phone in the dark."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("There is no Chromium on this machine: no picture was taken. Debian: apt install chromium.")
    OUTPUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as all_of_it:
        home, plan = Path(folder) / "home", Path(folder) / "canary.yml"
        plan.write_text(yaml.safe_dump(PLAN, sort_keys=False))
        state = home / "support-llm"
        run = all_of_it.enter_context(program("controlplane.cli.main", "run", plan, "--state", state, "-o", "json"))
        events = map(json.loads, lines(run))
        until(events, event="phase", phase="Shifting")
        all_of_it.enter_context(program("controlplane.sample.load", "--port", PORT, "--rate", 120, "--report", 600))
        served = all_of_it.enter_context(
            program("controlplane.cli.main", "dashboard", "--state-home", home, "--no-open")
        )
        address = next(word for line in lines(served) for word in line.split() if word.startswith("http://"))
        playwright = all_of_it.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 1100}, device_scale_factor=1)
        page.goto(address)
        until(events, event="phase", phase="Analyzing", stage=1)
        page.wait_for_timeout(20_000)
        make_readers_less_content(state)
        until(events, event="end")
        page.get_by_role("link", name="support-llm").first.click()
        page.wait_for_selector(".sentence")
        take(page, "rolled-back")
        page.set_viewport_size({"width": 390, "height": 1100})
        page.emulate_media(color_scheme="dark")
        take(page, "phone")
        browser.close()


@contextlib.contextmanager
def program(module: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A program of Serinus whose output can be read; asked to end with the block."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.terminate()
            started.communicate()  # what it says last


def lines(of: subprocess.Popen[str]) -> Iterator[str]:
    """What it prints."""
    for line in of.stdout or ():
        sys.stderr.write(line)
        yield line


def until(events: Iterator[dict[str, Any]], **wanted: object) -> None:
    """Wait for an event line with these values."""
    if not any(all(event.get(key) == value for key, value in wanted.items()) for event in events):
        sys.exit(f"The rollout ended without {wanted}: no picture was taken.")


def make_readers_less_content(state: Path) -> None:
    """Turn the knob of the canary's server, which is where Envoy finds it."""
    canary = addresses_in(read_json(state / "envoy" / "clusters.json"))["canary-0"]
    knobs = json.dumps({"kpis": {"csat": FALLS_TO}}).encode()
    urllib.request.urlopen(f"http://{canary}/knobs", knobs).close()


def take(page: Page, name: str) -> None:
    """One picture, when nothing moves any more."""
    page.wait_for_timeout(1_000)
    page.screenshot(path=OUTPUT / f"{name}.png", animations="disabled")


if __name__ == "__main__":
    main()
