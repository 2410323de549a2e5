"""The shipped scrape configurations keep what the profiles read, and label it as `controlplane.evidence` expects."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from canary.spec.sources import ANY_SERVER, ENVOY_GATEWAY, KSERVE, OWN_COUNTS, UNROUTED, VLLM, asked_names
from controlplane.evidence.metric_locations import Labels
from controlplane.evidence.series_attribution import SERVERS

MONITORING = Path(__file__).parent.parent / "manifests" / "monitoring"
CACHED = Path.home() / ".cache" / "serinus" / "prometheus" / "usr" / "bin" / "promtool"
BACKEND = "httproute/shop/chat/rule/0/backend/1"
SERVING = asked_names((*VLLM, *OWN_COUNTS, *ANY_SERVER))
READ = {
    "serinus-gateway-proxies": asked_names(ENVOY_GATEWAY) | UNROUTED,
    "serinus-model-servers": SERVING | asked_names(KSERVE),
    "serinus-llm-services": SERVING,
}
"""What is read from each job."""


def _monitors() -> dict[str, dict[str, Any]]:
    """The PodMonitors by name."""
    found = [yaml.safe_load(file.read_text()) for file in sorted(MONITORING.glob("*.yaml"))]
    return {each["metadata"]["name"]: each for each in found if each["kind"] == "PodMonitor"}


def _jobs() -> dict[str, dict[str, Any]]:
    """The plain jobs by name."""
    plain = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    return {each["job_name"]: each for each in plain["scrape_configs"]}


def _keeps() -> Iterator[tuple[str, list[tuple[list[str], str, str]]]]:
    """By job or monitor, its rules that keep series: source labels, separator, expression."""
    for name, monitor in _monitors().items():
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        rules = endpoint["metricRelabelings"]
        yield name, [(rule["sourceLabels"], rule.get("separator", ";"), rule["regex"]) for rule in rules]
    for name, job in _jobs().items():
        rules = job["metric_relabel_configs"]
        yield name, [(rule["source_labels"], rule.get("separator", ";"), rule["regex"]) for rule in rules]


def _kept(series: dict[str, str], rules: list[tuple[list[str], str, str]]) -> bool:
    return all(
        re.fullmatch(expression, separator.join(series.get(label, "") for label in labels))
        for labels, separator, expression in rules
    )


def test_the_monitors_and_the_plain_jobs_are_the_same_three() -> None:
    assert _monitors().keys() == _jobs().keys() == READ.keys()


def test_every_series_that_is_read_is_kept_and_what_nobody_reads_is_not() -> None:
    for name, rules in _keeps():
        for metric in READ[name]:
            series = {"__name__": metric}
            if metric.startswith("envoy_cluster_"):
                series["envoy_cluster_name"] = BACKEND
            assert _kept(series, rules), (name, metric)
        assert not _kept({"__name__": "envoy_cluster_upstream_cx_total", "envoy_cluster_name": BACKEND}, rules)
        assert not _kept({"__name__": "envoy_cluster_upstream_rq_xx", "envoy_cluster_name": "xds"}, rules)
        assert not _kept({"__name__": "go_gc_duration_seconds"}, rules)


def test_the_labels_are_those_that_evidence_looks_for() -> None:
    """The Prometheus Operator sets `namespace` and `pod` itself; plain jobs have to say it."""
    for name, job in _jobs().items():
        targets = {rule.get("target_label") for rule in job["relabel_configs"]}
        assert {Labels().namespace, Labels().pod} <= targets
        assert name == "serinus-gateway-proxies" or targets & set(SERVERS)
    for name, monitor in _monitors().items():
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        targets = {rule["targetLabel"] for rule in endpoint.get("relabelings", ())}
        assert name == "serinus-gateway-proxies" or targets & set(SERVERS)


def test_every_file_says_what_it_is_for() -> None:
    assert all(file.read_text().startswith("# ") for file in MONITORING.iterdir())


def test_prometheus_accepts_the_plain_jobs(tmp_path: Path) -> None:
    """By its own tool. Debian builds it without Kubernetes' discovery, so that part is replaced by an address."""
    tool = shutil.which("promtool") or (str(CACHED) if CACHED.exists() else None)
    if tool is None:
        pytest.skip("There is no promtool on this machine: the scrape configuration was not checked by Prometheus.")
    plain = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    for job in plain["scrape_configs"]:
        assert [each["role"] for each in job.pop("kubernetes_sd_configs")] == ["pod"]
        job["static_configs"] = [{"targets": ["127.0.0.1:1"]}]
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump(plain))
    checked = subprocess.run([tool, "check", "config", str(file)], check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
