"""Chooses where the numbers of a rollout on this machine come from, and says so: our own Prometheus, or direct scraping.

Built by `controlplane.program`. `auto` takes Prometheus where its program is found. Reads nothing itself.
"""

from collections.abc import Callable, Mapping
from typing import Self

from canary.observation import Counters
from canary.spec.models import CanarySpec, LocalPlatform
from canary.weights import Arm
from controlplane.adapters.envoy import EnvoyRouter
from controlplane.adapters.processes import ProcessPlatform
from controlplane.adapters.scrape import ScrapeSource
from controlplane.ports import Clock


class LocalMetrics:
    """The metric source of one rollout."""

    def __init__(
        self, local: LocalPlatform, spec: CanarySpec, router: EnvoyRouter, platform: ProcessPlatform, clock: Clock
    ) -> None:
        self.period = local.scrape_interval
        self.words = f"scraped directly, every {local.scrape_interval:g} s"
        self._paths: Mapping[Arm, str] = {"stable": spec.stable.metrics, "canary": spec.canary.metrics}
        self._platform = platform
        self._source = ScrapeSource(
            envoy=lambda: router.admin_address, pages=self._pages, clock=clock, interval=local.scrape_interval
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._source.close()

    async def read(self) -> Counters:
        return await self._source.read()

    async def close(self, *, keep: bool) -> None:
        pass

    def _pages(self) -> Mapping[Arm, Mapping[str, str]]:
        return {
            arm: {name: f"http://{address}{self._paths[arm]}" for name, address in replicas.items()}
            for arm, replicas in self._platform.endpoints().items()
        }
