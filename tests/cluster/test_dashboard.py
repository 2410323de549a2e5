"""S8 on a real API server: the dashboard with the chart's account, and people with real tokens and real roles.

Also what becomes of the pages when that server goes away. The rollout was played in memory; its ModelCanary is real.
"""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.result import Ok

from controlplane.kubernetes.resources import MODEL_CANARY
from tests.cluster.bed import Light, until
from tests.cluster.charts import install_crd, release
from tests.cluster.test_permissions import may
from tests.controlplane.kubectl.desk import left_by, under_way
from tests.test_chart_dashboard import READS as ASKED

BIN = Path(sys.executable).parent
ACTING = {("patch", "modelcanaries"), ("attest", "modelcanaries/requests")}
VERBS = ("promote", "pause", "resume", "abort", "approve", "retry")
PEOPLE = ("viewer", "editor", "pauser", "stranger")
NOBODY = ("anonymous", "wrong audience", "expired", "withdrawn", "static")


class Lane:
    """A way to the API server that a test can close: every connection of it ends, and new ones are refused."""

    def __init__(self, port: int) -> None:
        self._target, self._open = ("127.0.0.1", port), list[socket.socket]()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.closed = False
        self._threads = list[threading.Thread]()
        self._start(self._accept)

    def close(self) -> None:
        """The server is away."""
        self.closed = True
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """For good."""
        self.close()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for each in (*self._open, self._listener):
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self.closed:
                    near.close()
                    continue
                far = socket.create_connection(self._target)
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    self._start(_copied, source, sink)

    def _start(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()


def _copied(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for each in (source, sink):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


class Desk:
    """A dashboard that runs, the namespace that it is tried in, and people's tokens."""

    def __init__(self, light: Light, namespace: str, url: str, lane: Lane, tokens: dict[str, str]) -> None:
        self.light, self.namespace, self.url, self.lane, self.tokens = light, namespace, url, lane, tokens
        self.chat = f"/api/v1/rollouts/{namespace}~chat"

    def client(self, who: str) -> httpx2.Client:
        """Somebody by name; the anonymous one has no token."""
        token = self.tokens.get(who, "")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=30, verify=False)

    def asked(self) -> list[tuple[str, str]]:
        """Verb and name of the requests that are written beside the ModelCanary."""
        found = self.light.get("modelcanary", "chat", self.namespace) or {}
        notes = found["metadata"].get("annotations") or {}
        said = [json.loads(value) for key, value in notes.items() if key.startswith("requests.serinus.dev/")]
        return [(each["verb"], each["by"]) for each in said]

    def forget(self) -> None:
        """Take the requests away, as the operator does."""
        self.light.kubectl("annotate", "modelcanary", "chat", "-n", self.namespace, *self._keys())

    def account(self, who: str) -> str:
        """What the server calls somebody."""
        return f"system:serviceaccount:{self.namespace}:{who}"

    def _keys(self) -> list[str]:
        found = self.light.get("modelcanary", "chat", self.namespace) or {}
        notes = found["metadata"].get("annotations") or {}
        return [f"{key}-" for key in notes if key.startswith("requests.serinus.dev/")] or ["none-"]


def keep_a_rollout(light: Light, namespace: str) -> None:
    """A ModelCanary with the status that an operator left in it."""
    canaries, books, _ = left_by(under_way)
    for each in (*canaries, *books):
        meta = {"name": each["metadata"]["name"], "namespace": namespace}
        light.apply({**{key: value for key, value in each.items() if key != "status"}, "metadata": meta})
    # As the operator writes it: a merge patch would drop what is null.
    patch = json.dumps([{"op": "add", "path": "/status", "value": canaries[0]["status"]}])
    light.kubectl("patch", "modelcanary", "chat", "-n", namespace, "--subresource=status", "--type=json", "-p", patch)


def give_roles(light: Light, namespace: str) -> None:
    """A viewer and an editor by the chart's aggregated roles, one who may only pause, one of another namespace."""
    other = f"{namespace}-other"
    light.kubectl("create", "namespace", other)
    for who in (*PEOPLE, "nobody"):
        light.kubectl("create", "serviceaccount", who, "-n", namespace)
    bind = ("create", "rolebinding")
    light.kubectl(*bind, "viewer", "--clusterrole=view", f"--serviceaccount={namespace}:viewer", "-n", namespace)
    light.kubectl(*bind, "editor", "--clusterrole=edit", f"--serviceaccount={namespace}:editor", "-n", namespace)
    light.kubectl(*bind, "stranger", "--clusterrole=edit", f"--serviceaccount={namespace}:stranger", "-n", other)
    rules = [
        {"apiGroups": ["serinus.dev"], "resources": ["modelcanaries"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["serinus.dev"], "resources": ["modelcanaries/pause"], "verbs": ["create"]},
    ]
    rbac = "rbac.authorization.k8s.io/v1"
    light.apply(
        {"apiVersion": rbac, "kind": "Role", "metadata": {"name": "pauser", "namespace": namespace}, "rules": rules}
    )
    light.kubectl(*bind, "pauser", "--role=pauser", f"--serviceaccount={namespace}:pauser", "-n", namespace)


def token(light: Light, namespace: str, who: str, *words: str) -> str:
    """What `kubectl create token` prints."""
    return light.kubectl("create", "token", who, "-n", namespace, *words).strip()


def signed(light: Light, good: str, **claims: Any) -> str:
    """A token like this one with other claims, signed by the server's own key."""
    head, body, _ = good.split(".")
    said = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))) | claims
    text = f"{head}.{_encoded(json.dumps(said).encode())}"
    key = light.kubeconfig.parent / "sa.key"
    made = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", str(key)], input=text.encode(), capture_output=True, check=True
    )
    return f"{text}.{_encoded(made.stdout)}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def tokens(light: Light, namespace: str) -> dict[str, str]:
    """Everybody's, and those that must open nothing."""
    ours = ("--audience", "serinus")
    made = {who: token(light, namespace, who, *ours) for who in PEOPLE}
    light.kubectl("create", "secret", "generic", "bond", "-n", namespace)
    bound = ("--bound-object-kind", "Secret", "--bound-object-name", "bond")
    now = int(time.time())
    made |= {
        "wrong audience": token(light, namespace, "editor"),
        "withdrawn": token(light, namespace, "editor", *ours, *bound),
        "expired": signed(light, made["editor"], iat=now - 7200, nbf=now - 7200, exp=now - 3600),
        "signed anew": signed(light, made["editor"], exp=now + 3600),
        "static": yaml.safe_load(light.kubeconfig.read_text())["users"][0]["user"]["token"],
    }
    light.kubectl("delete", "secret", "bond", "-n", namespace)
    return made


@contextmanager
def served(
    light: Light, folder: Path, credentials: dict[str, Any], *words: str, home: str = ""
) -> Iterator[tuple[str, Lane]]:
    """A program that serves a dashboard over a lane to the API server: where it answers, and the lane."""
    config = yaml.safe_load(light.kubeconfig.read_text())
    (cluster,) = config["clusters"]
    lane = Lane(int(cluster["cluster"]["server"].rsplit(":", 1)[1]))
    cluster["cluster"]["server"] = f"https://127.0.0.1:{lane.port}"
    if credentials:
        config["users"] = [{"name": each["name"], "user": credentials} for each in config["users"]]
    own = folder / "kubeconfig"
    own.write_text(yaml.safe_dump(config))
    with (
        (folder / "dashboard.log").open("w") as log,
        subprocess.Popen(
            [str(BIN / words[0]), *words[1:], "--kubeconfig", str(own), "--no-open"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "POD_NAMESPACE": home, "XDG_STATE_HOME": str(folder)},
        ) as process,
    ):
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            found = re.search(r"http://\S+", line)
            assert found, line + (folder / "dashboard.log").read_text()
            yield found[0].rstrip("/"), lane
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            finally:
                process.kill()
                lane.end()
                sys.stdout.write((folder / "dashboard.log").read_text())


@pytest.fixture(scope="module")
def desk(light: Light, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One dashboard for the tests of this file, which put back what they change."""
    namespace = f"dashboard-{os.urandom(3).hex()}"
    install_crd(light)
    given_values = {"crds.install": False, "replicas": 1, "dashboard.enabled": True, "dashboard.readOnly": False}
    with light.namespace(namespace), release(light, namespace, given_values):
        keep_a_rollout(light, namespace)
        give_roles(light, namespace)
        until(
            "the aggregated roles", lambda: "modelcanaries" in light.kubectl("get", "clusterrole", "edit", "-o", "json")
        )
        folder = tmp_path_factory.mktemp("desk")
        credentials = {"token": token(light, namespace, f"{namespace}-dashboard")}
        words = ("serinus", "dashboard", "--cluster", "--sign-in")
        with served(light, folder, credentials, *words, home=namespace) as (url, lane):
            yield Desk(light, namespace, url, lane, tokens(light, namespace))
        light.kubectl("delete", "namespace", f"{namespace}-other", "--wait=false")


def status(client: httpx2.Client, path: str) -> int:
    """What is answered, without waiting for the end of a stream."""
    with client.stream("GET", path) as answer:
        return answer.status_code


def test_s8_the_chart_grants_its_account_what_it_asks(desk: Desk) -> None:
    """Reviews are granted besides; everybody may ask who they are, so these are not told apart here."""
    granted = may(desk.light, f"{desk.namespace}:{desk.namespace}-dashboard", desk.namespace)
    assert granted == {(verb, kind) for verb, kind in ASKED | ACTING if not kind.endswith("reviews")}


@pytest.mark.parametrize("who", NOBODY)
def test_s8_nobody_is_told_or_does_anything(desk: Desk, who: str) -> None:
    """Also the cluster's own administrator, whose static token was made for no audience."""
    with desk.client(who) as client:
        assert (who == "anonymous") == ("authorization" not in client.headers)
        for path in ("/api/v1/rollouts", "/api/v1/session", desk.chat, f"{desk.chat}/events", f"{desk.chat}/series"):
            answer = client.get(path)
            assert (path, answer.status_code) == (path, 401)
        assert status(client, f"{desk.chat}/stream") == 401
        for verb in VERBS:
            assert client.post(f"{desk.chat}/requests", json={"verb": verb}).status_code == 401
        origin = {"origin": desk.url}
        token = desk.tokens.get(who, "anonymous")
        assert client.post("/api/v1/session", headers=origin, json={"token": token}).status_code == 401
    assert desk.asked() == []


def test_s8_it_is_its_age_for_which_the_expired_token_is_refused(desk: Desk) -> None:
    with desk.client("signed anew") as client:
        assert client.get("/api/v1/session").json()["user"] == desk.account("editor")


@pytest.mark.parametrize("who", PEOPLE)
def test_s8_reading_is_for_those_who_may_read_there(desk: Desk, who: str) -> None:
    with desk.client(who) as client:
        for path in (desk.chat, f"{desk.chat}/events", f"{desk.chat}/series", f"{desk.chat}/stream"):
            assert (path, status(client, path)) == (path, 403 if who == "stranger" else 200)
        lines = client.get("/api/v1/rollouts").json()["rollouts"]
        assert (f"{desk.namespace}~chat" in [line["id"] for line in lines]) == (who != "stranger")
        assert {line["id"].partition("~")[0] for line in lines} <= {desk.namespace}
        assert client.get("/api/v1/session").json()["user"] == desk.account(who)


@pytest.mark.parametrize("who", PEOPLE)
def test_s8_asking_is_for_those_who_may_patch_or_have_that_verb(desk: Desk, who: str) -> None:
    allowed = {"editor": VERBS, "pauser": ("pause",)}.get(who, ())
    with desk.client(who) as client:
        try:
            for verb in VERBS:
                answer = client.post(f"{desk.chat}/requests", json={"verb": verb})
                late = 409 if verb == "retry" else 202
                assert (verb, answer.status_code) == (verb, late if verb in allowed else 403)
            wanted = [(verb, desk.account(who)) for verb in allowed if verb != "retry"]
            assert sorted(desk.asked()) == sorted(wanted)
            if who != "stranger":
                assert client.get(desk.chat).json()["may"] == list(allowed)
        finally:
            desk.forget()


def test_s8_a_cookie_alone_never_acts(desk: Desk) -> None:
    """CSRF and Origin, on each route that changes something, with a session that a real token opened."""
    ours, evil = {"origin": desk.url}, {"origin": "https://evil.example"}
    routes: list[tuple[str, str, Any]] = [("POST", f"{desk.chat}/requests", {"verb": verb}) for verb in VERBS]
    routes.append(("DELETE", "/api/v1/session", None))
    with desk.client("anonymous") as client:
        given_token = {"token": desk.tokens["editor"]}
        assert client.post("/api/v1/session", headers=evil, json=given_token).status_code == 403
        assert client.post("/api/v1/session", headers=ours, json=given_token).status_code == 204
        key = {"x-serinus-token": client.get("/api/v1/session").json()["token"]}
        for method, path, body in routes:
            for headers in ({}, ours, key, evil, evil | key, ours | {"x-serinus-token": "guessed"}):
                assert client.request(method, path, headers=headers, json=body).status_code == 403
        assert desk.asked() == []
        try:
            assert client.post(f"{desk.chat}/requests", headers=ours | key, json={"verb": "pause"}).status_code == 202
            assert desk.asked() == [("pause", desk.account("editor"))]
        finally:
            desk.forget()
        assert client.delete("/api/v1/session", headers=ours | key).status_code == 204
        assert client.get("/api/v1/session").status_code == 401


@pytest.mark.parametrize("who", ["viewer", "stranger", "anonymous"])
def test_s8_schemathesis_finds_nothing_that_breaks_it(desk: Desk, who: str) -> None:
    """Whatever the description allows is answered as described, on the real API server too."""
    with desk.client(who) as client:
        described = client.get("/api/v1/openapi.json").json()
        del described["paths"]["/api/v1/rollouts/{id_}/stream"]
        schema = schemathesis.openapi.from_dict(described)
        for operation in [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]:

            @settings(
                max_examples=5,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy())
            def call(case: schemathesis.Case[Any]) -> None:
                said = case.as_transport_kwargs(base_url=desk.url)
                sent = client.request(said["method"], said["url"], params=said.get("params"), json=said.get("json"))
                assert str(sent.status_code) in case.operation.definition.raw["responses"], sent.text

            call()
    assert desk.asked() == []


def messages(answer: httpx2.Response) -> Iterator[tuple[str, Any]]:
    """Kind and data of what a stream sends."""
    kind = ""
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)


def bump(light: Light, namespace: str) -> int:
    """A newer status, as the operator writes it; answers its version."""
    version = int((light.get("modelcanary", "chat", namespace) or {})["status"]["version"]) + 1
    patch = json.dumps({"status": {"version": version}})
    words = ("patch", MODEL_CANARY.plural, "chat", "-n", namespace, "--subresource=status", "--type=merge", "-p", patch)
    light.kubectl(*words)
    return version


def test_when_the_api_server_goes_away_the_pages_stay_and_the_watch_goes_on(desk: Desk) -> None:
    """Somebody who watches hears at once that nothing is live, and afterwards what happened meanwhile."""
    with desk.client("viewer") as client, client.stream("GET", f"{desk.chat}/stream") as answer:
        heard = messages(answer)
        assert next(kind for kind, _ in heard if kind == "state")
        desk.lane.close()
        try:
            assert "Not live: " in next(data["detail"] for kind, data in heard if kind == "problem")
            with desk.client("anonymous") as nobody:
                assert [nobody.get(path).status_code for path in ("/sign-in", "/healthz", "/readyz")] == [200] * 3
            listing = client.get("/api/v1/rollouts")
            if listing.status_code == 200:  # what this person may is known for seconds yet
                assert "Not live: " in listing.json()["stale"]
            else:
                assert listing.status_code == 503
            version = bump(desk.light, desk.namespace)
        finally:
            desk.lane.closed = False
        state = next(data for kind, data in heard if kind == "state")
        assert (state["version"], state["stale"]) == (version, "")


def test_kubectl_canary_dashboard_shows_and_asks_with_ones_own_kubeconfig(desk: Desk, tmp_path: Path) -> None:
    """Nothing runs in the cluster for it; the API server itself says no where somebody may not."""
    editor, viewer = ({"token": token(desk.light, desk.namespace, who)} for who in ("editor", "viewer"))
    words = ("kubectl-canary", "dashboard", "-n", desk.namespace)
    for who, credentials, code in (("viewer", viewer, 403), ("editor", editor, 202)):
        folder = tmp_path / who
        folder.mkdir()
        with (
            served(desk.light, folder, credentials, *words) as (address, _),
            httpx2.Client(follow_redirects=True) as browser,
        ):
            base = address.partition("/?")[0]
            page = browser.get(address)
            assert page.status_code == 200
            (line,) = browser.get(f"{base}/api/v1/rollouts").json()["rollouts"]
            assert line["id"] == f"{desk.namespace}~chat"
            session = browser.get(f"{base}/api/v1/session").json()
            assert session["user"] == desk.account(who)
            headers = {"origin": base, "x-serinus-token": page.url.fragment.removeprefix("key=")}
            answer = browser.post(f"{base}{desk.chat}/requests", json={"verb": "pause"}, headers=headers)
            assert answer.status_code == code, answer.text
    assert desk.asked() == [("pause", desk.account("editor"))]
    desk.forget()
