"""Where the API server is and who we are there, found as kubectl and in-cluster clients find it.

Used by `client.py`. All loading is the library's (kubeconfig with contexts and exec plugins, service accounts); this
adds which source counts, errors for people, and what happens when the credentials stop being valid. Imported lazily by
its users, because `kubernetes` belongs to an optional extra.
"""

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Self

import yaml

from canary.errors import BadInput, Unavailable
from controlplane.kubernetes.lazy_client import (
    ConfigException,
    Configuration,
    InClusterConfigLoader,
    load_kube_config,
)

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
Load = Callable[[Configuration], Awaitable[str]]
"""Fills the configuration in, newly read from its source; returns the namespace meant where none is named."""


class ClusterConfig:
    """An address with credentials that are read again when they are no longer accepted."""

    def __init__(self, configuration: Configuration, load: Load | None = None, namespace: str = "default") -> None:
        self.configuration = configuration
        self.namespace = namespace
        self._load = load

    @classmethod
    async def find(
        cls,
        *,
        kubeconfig: str | None = None,
        context: str | None = None,
        environ: Mapping[str, str] = os.environ,
        service_account: Path = SERVICE_ACCOUNT,
    ) -> Self:
        """The named kubeconfig or `KUBECONFIG`, else the pod's service account, else `~/.kube/config`.

        Raises `BadInput` where none of them can be used.
        """
        named = kubeconfig or environ.get("KUBECONFIG")
        in_cluster = not named and not context and environ.get("KUBERNETES_SERVICE_HOST")
        if in_cluster:
            return await cls._by(_service_account(service_account, environ), str(service_account))
        files = named or f"{environ.get('HOME', '~')}/.kube/config"
        return await cls._by(_kubeconfig(files, context), files)

    @classmethod
    async def _by(cls, load: Load, source: str) -> Self:
        configuration = Configuration()
        try:
            namespace = await load(configuration)
        except (ConfigException, OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
            raise BadInput(f"{source}: cannot be used to reach a cluster: {error}") from error
        return cls(configuration, load, namespace)

    @property
    def host(self) -> str:
        """The server's address."""
        return self.configuration.host

    async def authorization(self) -> str | None:
        """The `Authorization` header of the next request; a service account's token is read from disk every minute."""
        try:
            return await self.configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        except (ConfigException, OSError) as error:
            raise Unavailable(f"the service account's token cannot be read for now: {error}") from error

    async def renew(self) -> bool:
        """Read the credentials again (a new token, the exec plugin run anew); False where there is nothing to read."""
        if self._load is None:
            return False
        try:
            await self._load(self.configuration)
        except (ConfigException, OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError):
            return False
        return True


def _service_account(folder: Path, environ: Mapping[str, str]) -> Load:
    async def load(configuration: Configuration) -> str:
        loader = InClusterConfigLoader(  # type: ignore[no-untyped-call]  # - the library types its models only
            str(folder / "token"), str(folder / "ca.crt"), environ=dict(environ)
        )
        loader.load_and_set(configuration)  # type: ignore[no-untyped-call]  # - likewise
        namespace = folder / "namespace"
        return namespace.read_text().strip() if namespace.exists() else "default"

    return load


def _kubeconfig(files: str, context: str | None) -> Load:
    async def load(configuration: Configuration) -> str:
        if not _any_exists(files):
            raise FileNotFoundError("there is no such file, and this is not a pod of a cluster")
        loader = await load_kube_config(  # type: ignore[no-untyped-call]  # - the library types its models only
            files, context, configuration, persist_config=False
        )
        return str(loader.current_context["context"].get("namespace") or "default")

    return load


def _any_exists(files: str) -> bool:
    return any(Path(each).expanduser().exists() for each in files.split(os.pathsep) if each)
