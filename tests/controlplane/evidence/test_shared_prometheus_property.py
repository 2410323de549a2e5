"""Targets that are scraped out of phase: harm is found through the real reader, whatever the phases and the profile."""

import pytest

from controlplane.evidence.shared_prometheus import SharedPrometheus
from tests.canary.judge.worlds import ERRORS_LIKE_STABLE, Health
from tests.controlplane.evidence.phases import KEY, LATENCY_LIKE_STABLE, TTFT_LIKE_STABLE, Court
from tests.controlplane.evidence.scraped import TTFT, Prometheus, places, server
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


async def test_each_replica_comes_with_the_time_of_its_own_scrape(
    fleet: SharedPrometheus, prometheus: Prometheus
) -> None:
    """So have a queue-proxy and the server beside it, in one pod."""
    fleet.register(KEY, places(profile="knative", gates=[TTFT]))
    count, bucket = "http_server_request_duration_seconds_count", "vllm:time_to_first_token_seconds_bucket"
    pods = {"chat-bf16-predictor-x-y": (101.0, 99.5), "chat-int4-predictor-x-y": (100.0, 101.5)}
    own = [server(count, pod, 40, at=at, http_response_status_code="200") for pod, (at, _) in pods.items()]
    own += [server(bucket, pod, 7, at=at, le=le) for pod, (_, at) in pods.items() for le in ("1", "+Inf")]
    prometheus.show(pods=own)
    await fleet.tick()
    counters = fleet.newest(KEY)
    (stable,), (canary,) = (counters.arms[arm].values() for arm in ("stable", "canary"))
    assert counters.at == 101.0
    assert (stable.at, stable.apart, canary.at, canary.apart) == (101.0, {"ttft": 99.5}, 100.0, {"ttft": 101.5})
