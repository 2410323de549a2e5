"""What has to be so with the numbers before a rollout can be judged by them, looked at one by one.

For `serinus doctor`, beside `doctor_cluster.py`. Asks Prometheus as the operator does, and discovery for what is there.
"""

import json
from collections.abc import Mapping
from itertools import pairwise
from statistics import median

from canary.errors import BadInput, ExternalError
from canary.format import duration
from canary.spec.sources import PROFILES, asked_names
from controlplane.adapters.bounded_http import BoundedHttp
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_auth import Credentials, PrometheusAuth
from controlplane.evidence.discover import PER_BACKEND, Choice, Discovery
from controlplane.evidence.doctor_cluster import Check, clock_check
from controlplane.ports import Clock

SECONDS = 10.0
SEEN_S = 120
"""Scrapes of the last so many seconds are looked at to see how often they come."""
SLOW_INTERVAL_S = 15.0
"""From here on a rollback waits mostly for the next scrape."""


async def of_metrics(url: str | None, clock: Clock, *, namespace: str | None, access: PrometheusAuth) -> list[Check]:
    """Everything about Prometheus. Never raises for what is wrong there."""
    if url is None:
        return [
            Check(
                "Prometheus",
                "problem",
                "Nobody says where it answers.",
                "Give --prometheus URL, as `serinus controller --cluster` wants it too.",
            )
        ]
    try:
        credentials = Credentials(access, url)
    except (BadInput, ExternalError) as error:
        return [Check("Prometheus", "problem", str(error), "Correct the options that begin with --prometheus.")]
    http = BoundedHttp(tls=credentials.tls, headers=credentials.headers)
    api = PrometheusApi(url, seconds=SECONDS, http=http)
    try:
        return await _looked(api, Discovery(api), clock, namespace)
    except ExternalError as error:
        return [Check("Prometheus", "problem", str(error), "See its address, and whether it is reached from here.")]
    finally:
        await api.close()


async def _looked(api: PrometheusApi, discovery: Discovery, clock: Clock, namespace: str | None) -> list[Check]:
    asked = clock.now()
    (now,) = await api.query("vector(time())")
    skew = (asked + clock.now()) / 2 - now.points[-1][1]
    version = await api.query("prometheus_build_info")
    names = sorted({each.metric.get("version", "") for each in version} - {""})
    found = [
        Check("Prometheus", "ok", f"It answers on {api.url}{f' (version {names[-1]})' if names else ''}."),
        clock_check("Prometheus' clock", skew),
    ]
    choice = await discovery.choice(namespace)
    found.append(profile_check(choice))
    if choice.profile is not None:
        found.append(await _interval(api, choice.profile))
    if choice.profile == "envoy-gateway":
        found += [await _clusters(discovery), await _unfinished(api)]
    return found


def profile_check(choice: Choice) -> Check:
    """Which names the metrics have."""
    if choice.profile is None:
        return Check(
            "metrics profile",
            "problem",
            f"None fits: {choice.reason}.",
            "Have the gateway's proxies or the model servers scraped: manifests/monitoring shows how.",
        )
    return Check("metrics profile", "ok", f"{choice.profile}: {choice.reason}.")


async def _interval(api: PrometheusApi, profile: str) -> Check:
    """How often the series that count requests are scraped, by the scrapes' own times."""
    rows = sorted(asked_names(row for row in PROFILES[profile] if row.feeds == "requests"))
    counted = await api.query(" or ".join(f"max by (job) (count_over_time({row}[{SEEN_S}s]))" for row in rows))
    by_job: Mapping[str, float] = {each.metric.get("job", "?"): each.points[-1][1] for each in counted if each.points}
    if not by_job:
        return Check("scrape interval", "note", "Nothing was scraped in the last two minutes.", "See its targets.")
    job, _ = max(by_job.items(), key=lambda item: item[1])
    scrapes = [each.points for each in await api.query(f"up{{job={json.dumps(job)}}}[{SEEN_S}s]")]
    between = [after[0] - before[0] for points in scrapes for before, after in pairwise(points)]
    if not between:
        return Check("scrape interval", "note", f"{job} was scraped once so far.", "Look again in a minute.")
    interval = median(between)
    says = f"{job} is scraped about every {duration(interval)}."
    if interval >= SLOW_INTERVAL_S:
        return Check(
            "scrape interval", "note", says, "Scrape the gateway's proxies every second or two: verdicts wait for it."
        )
    return Check("scrape interval", "ok", f"{says[:-1]}; give the operator that as --interval.")


async def _unfinished(api: PrometheusApi) -> Check:
    """Whether what hangs and lost clients are found by is kept: monitors of before an update leave it out."""
    wanted = {row.series for row in PROFILES["envoy-gateway"] if row.feeds in {"begun", "open", "cancelled"}}
    names = "|".join(sorted(wanted))
    told = await api.query(f'count by (__name__) ({{__name__=~"{names}"}})')
    missing = sorted(wanted - {each.metric.get("__name__", "") for each in told})
    if not missing:
        return Check("hangs", "ok", "What requests begin, have open and lose is scraped.")
    return Check(
        "hangs",
        "problem",
        f"Prometheus keeps no {' and no '.join(missing)}: a canary that never finishes its answers is not found.",
        "Apply manifests/monitoring (or the chart) of this release again: older ones leave these counters out.",
    )


async def _clusters(discovery: Discovery) -> Check:
    seen = sorted(each for each in await discovery.clusters() if PER_BACKEND.fullmatch(each))
    return Check("clusters by backend", "ok", f"{len(seen)} are visible, such as {seen[0]}.")
