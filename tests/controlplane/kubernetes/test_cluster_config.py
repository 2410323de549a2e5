"""How a client gets in: service accounts whose tokens rotate, kubeconfigs, plugins that print tokens."""

import base64
import json
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import incluster_config

from canary.errors import BadInput, Unavailable
from controlplane.kubernetes.client import KubeClient
from controlplane.kubernetes.cluster_config import ClusterConfig
from controlplane.kubernetes.resources import POD
from tests.controlplane.kubernetes.scripted import Script, status


class Tokens:
    """A service account as the kubelet mounts it, and a server that accepts one token."""

    def __init__(self, folder: Path, script: Script) -> None:
        self.folder = folder
        self.accepted = "first"
        self._script = script
        (folder / "ca.crt").write_text("not used by http\n")
        (folder / "namespace").write_text("serinus")
        self.write("first")
        script.handler = self.answer

    def write(self, token: str) -> None:
        """Rotate the token on disk."""
        (self.folder / "token").write_text(token)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """200 for the accepted token."""
        accepted = request.headers.get("Authorization", "").lower() == f"bearer {self.accepted}"
        answer = {} if accepted else status(401, "Unauthorized", "Unauthorized")
        return web.json_response(answer, status=200 if accepted else 401)

    async def client(self) -> KubeClient:
        """In the cluster; over HTTP, because the server of these tests speaks nothing else."""
        environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
        access = await ClusterConfig.find(environ=environ, service_account=self.folder)
        assert access.namespace == "serinus"
        assert access.host == "https://127.0.0.1:1"
        return KubeClient(_Plain(access, self._script.url))


class _Plain(ClusterConfig):
    """The same access, to another address."""

    def __init__(self, access: ClusterConfig, host: str) -> None:
        async def load(configuration: Configuration) -> str:
            assert access._load is not None
            namespace = await access._load(configuration)
            configuration.ssl_ca_cert = None
            return namespace

        access.configuration.ssl_ca_cert = None
        super().__init__(access.configuration, load, access.namespace)
        self._host = host

    @property
    def host(self) -> str:
        return self._host


@pytest.fixture
def tokens(tmp_path: Path, script: Script) -> Tokens:
    return Tokens(tmp_path, script)


async def test_a_rotated_token_is_read_from_disk_when_the_old_one_is_refused(tokens: Tokens, script: Script) -> None:
    client = await tokens.client()
    await client.get(POD, "models", "a")
    tokens.accepted = "second"
    tokens.write("second")
    await client.get(POD, "models", "a")
    assert [headers["Authorization"] for headers in script.headers] == [
        "bearer first",
        "bearer first",
        "bearer second",
    ]
    await client.close()


async def test_a_rotated_token_is_read_within_a_minute_even_while_the_old_one_works(
    tokens: Tokens, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the library, which compares the file's age with the clock: here the clock jumps."""
    client = await tokens.client()
    tokens.write("second")
    tokens.accepted = "second"

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return super().now(tz) + timedelta(minutes=2)

    monkeypatch.setattr(incluster_config, "datetime", SimpleNamespace(datetime=Later, timedelta=timedelta))
    await client.get(POD, "models", "a")
    assert [headers["Authorization"] for headers in script.headers] == ["bearer second"]
    await client.close()


async def test_a_token_that_stays_refused_is_not_tried_for_ever(tokens: Tokens, script: Script) -> None:
    client = await tokens.client()
    tokens.accepted = "another"
    for _ in range(3):
        with pytest.raises(Unavailable, match="does not accept who we are"):
            await client.get(POD, "models", "a")
    assert len(script.asked) == 6
    await client.close()


def a_kubeconfig(folder: Path, url: str, user: dict[str, Any]) -> Path:
    """A kubeconfig with two contexts."""
    contexts = [
        {"name": "main", "context": {"cluster": "c", "user": "u", "namespace": "models"}},
        {"name": "other", "context": {"cluster": "c", "user": "u"}},
    ]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "main",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": user}],
        "contexts": contexts,
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(config))
    return path


async def test_an_exec_plugin_is_run_again_when_its_token_is_refused(tmp_path: Path, script: Script) -> None:
    plugin = tmp_path / "plugin"
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    text = json.dumps(answer | {"status": {"token": "TOKEN"}}).replace("TOKEN", f"'$(cat {tmp_path}/token)'")
    plugin.write_text(f"#!/bin/sh\necho '{text}'\n")
    plugin.chmod(0o755)
    (tmp_path / "token").write_text("first")
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}}
    config = a_kubeconfig(tmp_path, script.url, user)
    client = KubeClient(await ClusterConfig.find(kubeconfig=str(config)))
    (tmp_path / "token").write_text("second")

    async def answer_second(request: web.Request) -> web.StreamResponse:
        accepted = request.headers.get("Authorization") == "Bearer second"
        return web.json_response({} if accepted else status(401), status=200 if accepted else 401)

    script.handler = answer_second
    before = config.read_text()
    await client.get(POD, "models", "a")
    assert [headers["Authorization"] for headers in script.headers] == ["Bearer first", "Bearer second"]
    assert config.read_text() == before
    await client.close()


async def test_a_kubeconfig_is_found_by_argument_variable_and_home(tmp_path: Path, script: Script) -> None:
    config = a_kubeconfig(tmp_path, script.url, {"username": "ann", "password": "secret"})
    access = await ClusterConfig.find(environ={"KUBECONFIG": f"/nowhere:{config}"})
    assert (access.host, access.namespace) == (script.url, "models")
    expected = "Basic " + base64.b64encode(b"ann:secret").decode()
    assert await access.authorization() == expected
    home = tmp_path / "home"
    (home / ".kube").mkdir(parents=True)
    (home / ".kube" / "config").write_text(config.read_text())
    assert (await ClusterConfig.find(environ={"HOME": str(home)})).namespace == "models"
    assert (await ClusterConfig.find(environ={"HOME": str(home)}, context="other")).namespace == "default"


@pytest.mark.parametrize("text", ["", "{", "[]", "current-context: x\n", "contexts: 5\n"])
async def test_a_kubeconfig_that_cannot_be_used_is_bad_input_that_names_it(tmp_path: Path, text: str) -> None:
    config = tmp_path / "config"
    config.write_text(text)
    with pytest.raises(BadInput, match=str(config)):
        await ClusterConfig.find(kubeconfig=str(config))


async def test_no_cluster_at_all_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no such file, and this is not a pod of a cluster"):
        await ClusterConfig.find(environ={"HOME": str(tmp_path)})
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(BadInput, match="token"):
        await ClusterConfig.find(environ=environ, service_account=tmp_path)


async def test_a_context_that_is_not_there_is_bad_input(tmp_path: Path, script: Script) -> None:
    config = a_kubeconfig(tmp_path, script.url, {})
    with pytest.raises(BadInput, match="nowhere"):
        await ClusterConfig.find(kubeconfig=str(config), context="nowhere")
