"""Targets that are scraped out of phase: harm is found through the real reader, whatever the phases and the profile."""

import pytest

from tests.canary.judge.worlds import ERRORS_LIKE_STABLE, Health
from tests.controlplane.evidence.phases import LATENCY_LIKE_STABLE, TTFT_LIKE_STABLE, Court
from tests.virtual import in_virtual_time

FAILING, SLOW = Health(errors=0.05), Health(errors=0.005, latency=0.075)


@pytest.mark.parametrize(("interval", "within"), [(5.0, 120), (15.0, 180), (30.0, 240)])
@pytest.mark.parametrize("profile", ["vllm", "knative", "envoy-gateway"])
@in_virtual_time
async def test_ten_times_the_errors_are_found_whatever_the_phases_of_the_scrapes(
    profile: str, interval: float, within: int
) -> None:
    for seed in range(3):
        court = Court(profile, interval, [ERRORS_LIKE_STABLE], seed=seed, proxy_interval=interval)
        found = await court.failed_after(FAILING, within)
        assert found is not None, (seed, court.evidence)


@pytest.mark.parametrize(("interval", "within"), [(5.0, 120), (15.0, 180), (30.0, 240)])
@pytest.mark.parametrize("profile", ["vllm", "kserve", "knative", "envoy-gateway"])
@in_virtual_time
async def test_a_slow_canary_is_found_whatever_the_phases_of_the_scrapes(
    profile: str, interval: float, within: int
) -> None:
    """Beside a gateway that is scraped each second, and with a queue-proxy and a server in the same pod, too."""
    gate = LATENCY_LIKE_STABLE if profile == "kserve" else TTFT_LIKE_STABLE
    for seed in range(3):
        court = Court(profile, interval, [gate], seed=seed)
        found = await court.failed_after(SLOW, within)
        assert found is not None, (seed, court.evidence)
