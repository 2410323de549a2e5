"""Where a kubeconfig leads: kubectl's rules, and one sentence where it leads nowhere."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from canary.errors import BadInput
from controlplane.kubectl.kubeconfig import contexts, find


def written(folder: Path, name: str = "config", *, user: dict[str, Any] | None = None, **more: Any) -> Path:
    """A kubeconfig with one context."""
    config = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "models"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://10.0.0.1:6443/"}}],
        "users": [{"name": "u", "user": user or {"token": "secret"}}],
    }
    file = folder / name
    file.write_text(yaml.safe_dump(config | more), encoding="utf-8")
    return file


def test_the_present_context_says_server_namespace_and_credentials(tmp_path: Path) -> None:
    target = find(kubeconfig=str(written(tmp_path)))
    assert (target.server, target.namespace, target.person) == ("https://10.0.0.1:6443", "models", "u")
    assert target.authorization() == "Bearer secret"


def test_of_several_files_the_first_to_name_a_thing_counts(tmp_path: Path) -> None:
    first = written(tmp_path, "first")
    other = [{"name": "there", "context": {"cluster": "c", "user": "u"}}]
    second = written(tmp_path, "second", user={"token": "other"}, contexts=other, **{"current-context": "there"})
    files = f"{first}:{tmp_path / 'missing'}:{second}"
    environ = {"KUBECONFIG": files}
    assert find(environ=environ).context == "here"
    there = find(context="there", environ=environ)
    assert (there.namespace, there.authorization()) == ("default", "Bearer secret")
    assert contexts(None, environ) == ["here", "there"]


def test_paths_start_at_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from a file\n", encoding="utf-8")
    assert find(kubeconfig=str(written(tmp_path, user={"tokenFile": "token"}))).authorization() == "Bearer from a file"


def test_a_credential_plugin_is_asked_as_kubectl_asks_it(tmp_path: Path) -> None:
    program = (
        "import json, os; told = json.loads(os.environ['KUBERNETES_EXEC_INFO']);"
        "print(json.dumps({'status': {'token': f\"{told['kind']} {os.environ['WHO']}\"}}))"
    )
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", program],
        "env": [{"name": "WHO", "value": "ann"}],
    }
    assert find(kubeconfig=str(written(tmp_path, user={"exec": plugin}))).authorization() == "Bearer ExecCredential ann"


def test_a_plugin_that_is_missing_says_how_to_get_it(tmp_path: Path) -> None:
    plugin = {"command": "no-such-login", "installHint": "Install it with brew."}
    with pytest.raises(BadInput, match=r"no-such-login, which fetches the credentials of u, failed: .* Install it"):
        find(kubeconfig=str(written(tmp_path, user={"exec": plugin}))).authorization()


def test_in_a_pod_its_own_account_is_used(tmp_path: Path) -> None:
    for name, text in (("token", "pod's own"), ("namespace", "serinus"), ("ca.crt", "")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    target = find(environ=environ, service_account=tmp_path)
    assert (target.server, target.namespace) == ("https://10.0.0.1:443", "serinus")
    assert target.authorization() == "Bearer pod's own"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"current-context": ""}, "no context is chosen"),
        ({"current-context": "gone"}, "there is no context gone; known are here"),
        ({"clusters": []}, "context here speaks of cluster c, which is not there"),
        ({"clusters": [{"name": "c", "cluster": {}}]}, "cluster c has no server"),
        ({"users": [{"name": "u", "user": {"auth-provider": {"name": "gcp"}}}]}, "auth-provider"),
        ({"contexts": "here"}, "is no kubeconfig that can be read"),
    ],
)
def test_what_leads_nowhere_is_bad_input(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        find(kubeconfig=str(written(tmp_path, **change)))


def test_a_file_that_is_not_there_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file, so no cluster is known"):
        find(kubeconfig=str(tmp_path / "none"))


def test_certificates_that_are_none_are_bad_input(tmp_path: Path) -> None:
    target = find(
        kubeconfig=str(written(tmp_path, user={"client-certificate-data": "bm9uZQ==", "client-key-data": ""}))
    )
    with pytest.raises(BadInput, match="The certificates of context here cannot be used"):
        target.tls()


def test_a_proxy_of_another_kind_is_refused(tmp_path: Path) -> None:
    cluster = {"server": "https://10.0.0.1", "proxy-url": "socks5://127.0.0.1:1080"}
    with pytest.raises(BadInput, match=r"expected a proxy of the form http://host:port"):
        _ = find(kubeconfig=str(written(tmp_path, clusters=[{"name": "c", "cluster": cluster}]))).proxy
