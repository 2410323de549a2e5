"""Asks Envoy's admin interface what is in force. Used by `envoy.py`; changes nothing but by `drain`.

Answers are Envoy's own words: the version of the file it took last, how often it refused one, the routes it really has.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx2

from canary.errors import Unavailable
from canary.weights import ARMS, Arm
from controlplane.adapters.envoy_config import LISTENER_STATS, OUTSIDE, ROUTES, Json, arm_of
from controlplane.adapters.process_http import loopback_client
from controlplane.adapters.process_readiness import Answered

ANSWER_TIMEOUT_S = 1.0
AT = "http://envoy"
"""The interface listens on a socket; this stands where HTTP wants a host."""
Kind = Literal["clusters", "routes"]
_PREFIX: dict[Kind, str] = {"clusters": "cluster_manager.cds", "routes": f"http.{LISTENER_STATS}.rds.{ROUTES}"}


@dataclass(frozen=True, slots=True)
class ConfigStatus:
    """What became of the files of one kind."""

    revision: int
    """Revision of the file in force; -1 when there is none yet."""
    refused: int
    """How many files this Envoy process has refused or could not read."""


class EnvoyAdmin:
    """A client of one Envoy's admin interface. Every method raises `Unavailable` when there is no answer."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._client = loopback_client(ANSWER_TIMEOUT_S, socket=socket)

    async def ready(self) -> bool:
        """Whether Envoy serves."""
        try:
            return (await self._client.get(f"{AT}/ready")).status_code == 200
        except httpx2.HTTPError:
            return False

    async def taken(self, kind: Kind) -> ConfigStatus:
        """Which file is in force."""
        prefix = _PREFIX[kind]
        names = r"(version_text|update_rejected|update_failure)"
        text = await self._text("/stats", filter=rf"^{prefix.replace('.', '[.]')}[.]{names}$")
        stats = dict(line.removeprefix(f"{prefix}.").split(": ", 1) for line in text.splitlines() if ": " in line)
        version = stats.get("version_text", "").strip('"').partition(" ")[0]
        refused = int(stats.get("update_rejected", 0)) + int(stats.get("update_failure", 0))
        return ConfigStatus(int(version) if version else -1, refused)

    async def routes(self) -> Json | None:
        """The route configuration in force."""
        dump = json.loads(await self._text("/config_dump", resource="dynamic_route_configs"))
        found = [entry["route_config"] for entry in dump.get("configs", []) if "route_config" in entry]
        return next((configuration for configuration in found if configuration.get("name") == ROUTES), None)

    async def active_requests(self) -> int:
        """Requests that have begun and not yet ended."""
        text = await self._text("/stats", filter=f"^http[.]{LISTENER_STATS}[.]downstream_rq_active$")
        return int(text.rpartition(":")[2] or 0)

    async def drain(self) -> None:
        """Accept no more clients. What is open goes on; nothing takes this back."""
        try:
            (await self._client.post(f"{AT}/drain_listeners")).raise_for_status()
        except httpx2.HTTPError as error:
            raise Unavailable(f"Envoy on {self.socket} does not stop accepting clients ({error!r})") from error

    async def uptime(self) -> float:
        """Seconds that it had run when it flushed its statistics last, in whole ones; see `envoy_workers.py`."""
        text = await self._text("/stats", filter="^server[.]uptime$")
        return float(text.rpartition(":")[2] or 0)

    async def in_flight(self) -> Mapping[Arm, tuple[float, float]]:
        """By arm the requests that its replicas have begun and not ended, and how many of its answers broke off.

        Those from outside the cohort as well: they are waited for when an arm is stopped.
        """
        names = "upstream_(rq_active|rq_pending_active|cx_protocol_error|rq_502)"
        text = await self._text("/stats", filter=rf"^cluster[.]({OUTSIDE})?({'|'.join(ARMS)})-[^.]+[.]{names}$")
        open_: dict[Arm, float] = dict.fromkeys(ARMS, 0.0)
        broken: dict[Arm, float] = dict.fromkeys(ARMS, 0.0)
        for line in text.splitlines():
            name, _, value = line.partition(": ")
            _, cluster, counter = name.split(".", 2)
            arm = arm_of(cluster)
            if counter.endswith("_active"):
                open_[arm] += float(value)
            else:  # what is no HTTP becomes a 502 and was never an answer
                broken[arm] += float(value) if counter.endswith("_error") else -float(value)
        return {arm: (open_[arm], max(broken[arm], 0.0)) for arm in ARMS}

    async def answered(self, replica: str) -> Answered:
        """What has come back from this replica so far, for those outside the cohort as well."""
        names = "upstream_(rq_[1-5]xx|cx_rx_bytes_total)"
        text = await self._text("/stats", filter=rf"^cluster[.]({OUTSIDE})?{re.escape(replica)}[.]{names}$")
        served = failed = received = 0.0
        for line in text.splitlines():
            name, _, value = line.partition(": ")
            if name.endswith("_bytes_total"):
                received += float(value)
            elif name.endswith("_5xx"):
                failed += float(value)
            else:
                served += float(value)
        return Answered(served, failed, received)

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def _text(self, path: str, **query: str) -> str:
        try:
            answer = await self._client.get(f"{AT}{path}", params=query)
            answer.raise_for_status()
        except httpx2.HTTPError as error:
            raise Unavailable(f"Envoy's admin interface on {self.socket} does not answer ({error!r})") from error
        return answer.text
