"""The chart's dashboard as a real pod of the Dockerfile's image: people sign in with tokens of their own, see and act.

What each of them may is told apart in `test_dashboard.py`, where the dashboard is a process.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest

from tests.cluster.bed import Node, until
from tests.cluster.charts import PATIENCE, install_crd, phase, program_called, release
from tests.cluster.test_dashboard import messages, status
from tests.cluster.test_install import SMALL, a_served_canary


@contextmanager
def forwarded(node: Node, namespace: str) -> Iterator[str]:
    """The dashboard's Service at a port of this machine, as people reach it without an Ingress; its address."""
    words = ("port-forward", "-n", namespace, f"service/{namespace}-dashboard", ":80", "--address", "127.0.0.1")
    env = {**os.environ, "KUBECONFIG": str(node.kubeconfig)}
    with subprocess.Popen([program_called("kubectl"), *words], stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = re.search(r"127\.0\.0\.1:\d+", line)
            assert found, line
            yield f"http://{found[0]}"
        finally:
            process.terminate()


@contextmanager
def signed_in(url: str, token: str) -> Iterator[httpx2.Client]:
    """A browser with the session that this token opened, by the page's own form."""
    with httpx2.Client(base_url=url, timeout=30, headers={"origin": url}) as browser:
        sent = browser.post("/sign-in", data={"token": token, "next": "/?show=open"})
        assert (sent.status_code, sent.headers["location"]) == (303, "/?show=open")
        browser.headers["x-serinus-token"] = browser.get("/api/v1/session").json()["token"]
        yield browser


@pytest.mark.timeout(900)
def test_the_charts_dashboard_runs_as_a_pod_where_people_sign_in_see_and_act(
    node: Node, own_image: str, namespace: str
) -> None:
    """Under the restricted level, beside an operator that carries a rollout with real pods out and answers."""
    install_crd(node)
    node.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    models = f"{namespace}-models"
    chosen = {
        **SMALL,
        "image.repository": own_image,
        "watch.namespace": models,
        "replicas": 1,
        "userRoles": True,
        "dashboard.enabled": True,
        "dashboard.readOnly": False,
    }
    with node.namespace(models), release(node, namespace, chosen, "--wait", "--timeout", "300s"):
        node.apply(a_served_canary(models))
        people = ("viewer", "editor", "stranger")
        for who in people:
            node.kubectl("create", "serviceaccount", who, "-n", models)
        for who, role in (("viewer", "view"), ("editor", "edit")):
            account = f"--serviceaccount={models}:{who}"
            node.kubectl("create", "rolebinding", who, f"--clusterrole={role}", account, "-n", models)
        tokens = {
            who: node.kubectl("create", "token", who, "-n", models, "--audience", "serinus").strip() for who in people
        }
        until("the first stage", lambda: phase(node, "chat", models) == "Analyzing", PATIENCE)
        chat = f"/api/v1/rollouts/{models}~chat"
        with forwarded(node, namespace) as url:
            with httpx2.Client(base_url=url, timeout=30) as nobody:
                assert nobody.get(chat).status_code == 401
                assert nobody.get("/?show=open").headers["location"] == "/sign-in?next=/%3Fshow%3Dopen"
                wrong = nobody.post("/sign-in", data={"token": "wrong"}, headers={"origin": url})
                assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
            with signed_in(url, tokens["viewer"]) as viewer:
                assert [line["id"] for line in viewer.get("/api/v1/rollouts").json()["rollouts"]] == [f"{models}~chat"]
                told = viewer.get(chat).json()
                pods = next(panel for panel in told["state"]["panels"] if panel["id"] == "replicas")
                names = {pod["metadata"]["name"] for pod in node.find("pods", models)}
                assert {row[0]["text"] for row in pods["rows"]} == names
                assert [row[1]["text"] for row in pods["rows"]] == ["stable", "canary"]
                assert {row[2]["text"] for row in pods["rows"]} == {"ready"}
                assert told["may"] == []
                assert viewer.post(f"{chat}/requests", json={"verb": "pause"}).status_code == 403
            with signed_in(url, tokens["stranger"]) as stranger:
                assert stranger.get("/api/v1/rollouts").json()["rollouts"] == []
                assert status(stranger, f"{chat}/stream") == 403
            with signed_in(url, tokens["editor"]) as editor, editor.stream("GET", f"{chat}/stream") as answer:
                heard = messages(answer)
                assert editor.post(f"{chat}/requests", json={"verb": "pause"}).status_code == 202
                said = next(data for kind, data in heard if kind == "event" and data["event"] == "operator")
                assert f"system:serviceaccount:{models}:editor" in said["message"]
            until("the pause", lambda: phase(node, "chat", models) == "Paused", PATIENCE)
