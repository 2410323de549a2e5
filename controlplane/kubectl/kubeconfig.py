"""Where kubectl's commands go: address, credentials and namespace, as a kubeconfig or a pod's service account says.

Used by `client.py`. Reads the files by itself, because a command that answers in half a second has no time for the
library of the operator; the rules are kubectl's: `--kubeconfig`, then KUBECONFIG (several files, the first to name a
thing counts), then the pod's own account, then `~/.kube/config`. Opens no connection.
"""

import base64
import binascii
import json
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from canary.errors import BadInput

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
EXEC_SECONDS = 60.0
"""A credential plugin may ask a person to log in."""
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Target:
    """One cluster, one user."""

    server: str
    """URL of the API server."""
    namespace: str
    context: str
    """Name of the context; empty in a pod."""
    person: str
    """What the kubeconfig calls the user. The server may know another name."""
    cluster: Mapping[str, Any]
    user: Mapping[str, Any]
    folder: Path
    """Relative paths start here."""

    @property
    def server_name(self) -> str:
        """The name that the server's certificate has to have."""
        return str(self.cluster.get("tls-server-name") or urlsplit(self.server).hostname or "")

    @property
    def proxy(self) -> str:
        """URL of the proxy to go through; empty where there is none."""
        said = str(self.cluster.get("proxy-url") or "")
        if not said and any(name.lower() in {"https_proxy", "all_proxy"} for name in os.environ):
            from urllib.request import getproxies, proxy_bypass

            proxies = getproxies()
            host = urlsplit(self.server).hostname or ""
            said = "" if proxy_bypass(host) else proxies.get("https", proxies.get("all", ""))
        if said and urlsplit(said).scheme not in {"http", "https"}:
            raise BadInput(f"{said}: expected a proxy of the form http://host:port; no other kind is spoken here.")
        return said

    def tls(self) -> ssl.SSLContext:
        """How the server is trusted and we are known. Raises `BadInput`."""
        try:
            return self._tls()
        except (OSError, ValueError, binascii.Error) as error:
            where = f"The certificates of context {self.context}" if self.context else "The pod's certificates"
            raise BadInput(f"{where} cannot be used: {error}.") from error

    def authorization(self) -> str:
        """The `Authorization` header, read or fetched anew; empty where certificates say who we are."""
        user = self.user
        if user.get("token"):
            return f"Bearer {user['token']}"
        if user.get("tokenFile"):
            return f"Bearer {self._path(user['tokenFile']).read_text(encoding='utf-8').strip()}"
        if user.get("username"):
            both = f"{user['username']}:{user.get('password', '')}"
            return f"Basic {base64.b64encode(both.encode()).decode()}"
        token = self._from_plugin().get("token") if user.get("exec") else None
        return f"Bearer {token}" if token else ""

    def _tls(self) -> ssl.SSLContext:
        authority = self.cluster.get("certificate-authority")
        data = self.cluster.get("certificate-authority-data")
        context = ssl.create_default_context(
            cafile=str(self._path(authority)) if authority and not data else None,
            cadata=base64.b64decode(data).decode() if data else None,
        )
        if self.cluster.get("insecure-skip-tls-verify"):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        certificate, key = self._pair()
        if certificate:
            # The library takes client certificates from files only; these are there for the moment of loading.
            with tempfile.TemporaryDirectory() as folder:
                paths = [Path(folder) / name for name in ("crt", "key")]
                for path, content in zip(paths, (certificate, key), strict=True):
                    path.touch(mode=0o600)
                    path.write_bytes(content)
                context.load_cert_chain(*map(str, paths))
        return context

    def _pair(self) -> tuple[bytes, bytes]:
        """Our certificate and its key; empty where we have none."""
        said = dict(self.user)
        if said.get("exec"):
            answer = self._from_plugin()
            certificate = str(answer.get("clientCertificateData") or "")
            return certificate.encode(), str(answer.get("clientKeyData") or "").encode()
        pair = []
        for field in ("client-certificate", "client-key"):
            if said.get(f"{field}-data"):
                pair.append(base64.b64decode(said[f"{field}-data"]))
            else:
                pair.append(self._path(said[field]).read_bytes() if said.get(field) else b"")
        return pair[0], pair[1]

    def _from_plugin(self) -> Mapping[str, Any]:
        """What the user's credential plugin (`exec`) says: a token, a certificate, or both."""
        plugin = self.user["exec"]
        version = str(plugin.get("apiVersion", "client.authentication.k8s.io/v1"))
        info: dict[str, Any] = {"interactive": sys.stdin.isatty()}
        if plugin.get("provideClusterInfo"):
            info["cluster"] = {"server": self.server} | {
                key: self.cluster[key]
                for key in ("certificate-authority-data", "tls-server-name")
                if key in self.cluster
            }
        told = {"apiVersion": version, "kind": "ExecCredential", "spec": info}
        added = {each["name"]: each["value"] for each in plugin.get("env") or ()}
        command = str(plugin["command"])
        if "/" in command:
            command = str(self._path(command))
        try:
            done = subprocess.run(
                [command, *map(str, plugin.get("args") or ())],
                env={**os.environ, **added, "KUBERNETES_EXEC_INFO": json.dumps(told)},
                stdout=subprocess.PIPE,
                timeout=EXEC_SECONDS,
                check=True,
            )
            answer: Mapping[str, Any] = json.loads(done.stdout)["status"]
        except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
            hint = f" {plugin['installHint']}" if plugin.get("installHint") else ""
            raise BadInput(
                f"{command}, which fetches the credentials of {self.person}, failed: {error}.{hint}"
            ) from error
        return answer

    def _path(self, said: str) -> Path:
        return self.folder / Path(said).expanduser()


def find(
    *,
    kubeconfig: str | None = None,
    context: str | None = None,
    environ: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
) -> Target:
    """The cluster that is meant. Raises `BadInput` where nothing says which."""
    named = kubeconfig or environ.get("KUBECONFIG")
    if not named and not context and environ.get("KUBERNETES_SERVICE_HOST") and service_account.is_dir():
        return _of_pod(service_account, environ)
    files = [each for each in (named or str(Path("~/.kube/config").expanduser())).split(os.pathsep) if each]
    return _of_files(files, context)


def contexts(kubeconfig: str | None, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Names of all contexts, for completion."""
    named = kubeconfig or environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
    return list(_merged([each for each in named.split(os.pathsep) if each])["contexts"])


def _of_pod(folder: Path, environ: Mapping[str, str]) -> Target:
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    namespace = folder / "namespace"
    return Target(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        namespace=namespace.read_text(encoding="utf-8").strip() if namespace.exists() else "default",
        context="",
        person="the pod's service account",
        cluster={"certificate-authority": "ca.crt"},
        user={"tokenFile": "token"},
        folder=folder,
    )


def _of_files(files: list[str], wanted: str | None) -> Target:
    listed = os.pathsep.join(files)
    merged = _merged(files)
    name = wanted or merged["current"]
    if not name:
        raise BadInput(f"{listed}: no context is chosen. Choose one with `kubectl config use-context` or --context.")
    if name not in merged["contexts"]:
        known = ", ".join(merged["contexts"]) or "none"
        raise BadInput(f"{listed}: there is no context {name}; known are {known}.")
    _, context = merged["contexts"][name]
    parts: dict[str, tuple[Path, Mapping[str, Any]]] = {}
    for kind in ("cluster", "user"):
        called = str(context.get(kind, ""))
        if called not in merged[f"{kind}s"]:
            raise BadInput(f"{listed}: context {name} speaks of {kind} {called or '(none)'}, which is not there.")
        parts[kind] = merged[f"{kind}s"][called]
    (place, cluster), (folder, user) = parts["cluster"], parts["user"]
    if not cluster.get("server"):
        raise BadInput(f"{listed}: cluster {context.get('cluster')} has no server.")
    if "auth-provider" in user:
        raise BadInput(f"{listed}: user {context['user']} has an auth-provider, which kubectl itself takes no more.")
    authority = cluster.get("certificate-authority")
    return Target(
        server=str(cluster["server"]).rstrip("/"),
        namespace=str(context.get("namespace") or "default"),
        context=name,
        person=str(context.get("user")),
        cluster={**cluster, "certificate-authority": str(place / authority)} if authority else cluster,
        user=user,
        folder=folder,
    )


def _merged(files: list[str]) -> dict[str, Any]:
    """Contexts, clusters and users by name with the folder they were read in; the first file to name one counts."""
    merged: dict[str, Any] = {"current": "", "contexts": {}, "clusters": {}, "users": {}}
    there = [Path(each).expanduser() for each in files if Path(each).expanduser().is_file()]
    if not there:
        raise BadInput(
            f"{os.pathsep.join(files)}: there is no such file, so no cluster is known. "
            f"Name one with --kubeconfig or KUBECONFIG."
        )
    for file in there:
        try:
            read = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader) or {}  # noqa: S506 - a safe loader, in C
            merged["current"] = merged["current"] or str(read.get("current-context") or "")
            for kind in ("context", "cluster", "user"):
                for each in read.get(f"{kind}s") or ():
                    found = (file.absolute().parent, each.get(kind) or {})
                    merged[f"{kind}s"].setdefault(str(each["name"]), found)
        except (OSError, ValueError, yaml.YAMLError, AttributeError, TypeError, KeyError) as error:
            raise BadInput(f"{file}: is no kubeconfig that can be read: {error}") from error
    return merged
