"""The story told whole, in a cluster: a commit brings a canary whose users are less content, and all say the same.

A GitSource follows a real git host; real pods behind the real gateway serve and are rated; the operator judges by the
gates that business people write. CSAT falls by 4 % where 3 % is allowed: the traffic goes back, one commit and one
alert say why, and so do `kubectl canary why` and the page's own API.
"""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from controlplane.kubernetes.consent import ALLOW
from tests.cluster.bed import Node, until
from tests.cluster.stories import Rollout, plan, say, told
from tests.controlplane.gitops.host import hosted
from tests.controlplane.gitops.origin import Origin

BIN = Path(sys.executable).parent
SOURCES = Path(__file__).parents[2] / "manifests" / "crd" / "gitsources.serinus.dev.yaml"
FILE = "apps/chat/canary.yml"
TOKEN = "a-token-that-nobody-may-see"
CSAT, DROP, ESCALATED = 0.95, 0.04, 0.02
READERS = 100
"""People who rate each answer: one percentage point between 3 % and 4 % is shown by some ten thousand ratings."""
GATES = ["csat drop <= 3%", "escalation_rate <= 5%"]
STAGES: list[dict[str, Any]] = [{"traffic": "50%", "hold": "10m", "gates": GATES}, {"traffic": "100%", "hold": "1m"}]


@contextmanager
def pager() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Where alerts go: its address, and what arrived."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base's
            """Stay quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/hook", got
        finally:
            server.shutdown()


@pytest.mark.timeout(600)
def test_csat_falls_by_four_percent_and_git_the_alert_kubectl_and_the_page_say_the_same(
    node: Node, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back within minutes of the fall, by one commit, with one alert and one sentence."""
    monkeypatch.setenv("SERINUS_ALERT_NETWORKS", "127.0.0.0/8")  # where the test's git host and pager are
    origin = Origin(tmp_path / "origin.git")
    node.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(SOURCES))
    with hosted(tmp_path, TOKEN) as host, pager() as (hook, alerts), told(node, namespace, tmp_path) as story:
        _secret(node, namespace, "git", token=TOKEN, username="bot")
        _secret(node, namespace, "hook", url=hook)
        story.operator("--git-sources", "--git-cache", str(tmp_path / "cache"))
        text = _plan(namespace)
        brought = origin.commit({FILE: text}, "Try v2: friendlier answers")
        _follow(node, namespace, host.url("origin.git"))
        chat = Rollout(story, "chat")
        story.rollouts.append(chat)
        _users_become_less_content(node, namespace, chat)

        sentence = next(entry.message for entry in chat.story() if entry.phase == "RollingBack")
        say(sentence)
        assert sentence.startswith("csat: ")
        assert chat.reached(phase="RolledBack", result="rolled_back", weight="0 %")
        assert chat.failures() == []
        until("the rollback commit", lambda: origin.head() != brought, 60)
        assert origin.text(FILE) != text
        assert sentence in " ".join(origin.message().split())
        assert f"Serinus-Commit: {brought}" in origin.message()
        until("the alert", lambda: bool(alerts), 60)
        assert _why(node, namespace).count(sentence) >= 1
        assert _page(node, namespace, tmp_path) == sentence
        assert [(each["data"]["sentence"], each["data"]["commit"]) for each in alerts] == [(sentence, brought)]


def _plan(namespace: str) -> str:
    """The canary.yml, as somebody commits it."""
    alerts = [{"webhook": {"urlFrom": {"secret": "hook", "key": "url"}}, "on": ["rolledBack"]}]
    made = plan(namespace, stages=STAGES, alerts=alerts)
    del made["metadata"]["namespace"]
    return f"# ask Ann before you change this\n{yaml.safe_dump(made, sort_keys=False)}"


def _secret(node: Node, namespace: str, name: str, **values: str) -> None:
    words = [f"--from-literal={key}={value}" for key, value in values.items()]
    node.kubectl("create", "secret", "generic", name, "-n", namespace, *words)
    node.kubectl("annotate", "secret", name, "-n", namespace, f"{ALLOW}=alerts, git")


def _follow(node: Node, namespace: str, url: str) -> None:
    spec = {"url": url, "paths": ["apps/*/canary.yml"], "interval": "2s", "secretRef": {"name": "git"}}
    meta = {"name": "apps", "namespace": namespace}
    node.apply({"apiVersion": "serinus.dev/v1alpha1", "kind": "GitSource", "metadata": meta, "spec": spec})


def _users_become_less_content(node: Node, namespace: str, chat: Rollout) -> None:
    """Requests flow and are rated; once the canary has its share, its readers are 4 % less content."""
    chat.until(180, phase="Analyzing", stage=0)
    for variant in ("chat-v1", "chat-v2"):
        node.turn(namespace, variant, readers=READERS, kpis={"csat": CSAT, "escalation_rate": ESCALATED})
    with chat.traffic():
        until("both arms' ratings", lambda: _rated(chat), 60)
        node.turn(namespace, "chat-v2", kpis={"csat": CSAT * (1 - DROP), "escalation_rate": ESCALATED})
        chat.until_at_rest(300)


def _rated(chat: Rollout) -> bool:
    found = [each for each in chat.status.get("gates", ()) if each["gate"] == GATES[0]]
    return bool(found and found[0].get("samples", {}).get("canary"))


def _why(node: Node, namespace: str) -> str:
    """What `kubectl canary why` says."""
    words = [str(BIN / "kubectl-canary"), "why", "chat", "-n", namespace, "--kubeconfig", str(node.kubeconfig)]
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout


def _page(node: Node, namespace: str, folder: Path) -> str:
    """The sentence that the dashboard puts at the top of the rollout's page."""
    words = [str(BIN / "kubectl-canary"), "dashboard", "-n", namespace, "--kubeconfig", str(node.kubeconfig)]
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    with subprocess.Popen([*words, "--no-open"], stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found, "the dashboard told no address"
            base, _, query = found[0].partition("/?")
            token = query.partition("=")[2]
            url = f"{base}/api/v1/rollouts/{namespace}~chat"
            answer = httpx2.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=20)
            return str(answer.raise_for_status().json()["state"]["sentence"])
        finally:
            process.terminate()
