"""The shipped Grafana dashboard and Prometheus rules ask for metrics that exist, in queries that Prometheus accepts."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from controlplane.api.metrics import families

MANIFESTS = Path(__file__).parent.parent / "manifests"
RULES = MANIFESTS / "prometheus" / "rules.yaml"
SUFFIXES = ("", "_total", "_bucket", "_sum", "_count")
CACHED = Path.home() / ".cache" / "serinus" / "prometheus" / "usr" / "bin" / "promtool"


def queries() -> list[str]:
    """Every query in both."""
    panels = json.loads((MANIFESTS / "grafana" / "rollouts.json").read_text())["panels"]
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    return [target["expr"] for panel in panels for target in panel["targets"]] + [rule["expr"] for rule in rules]


def test_every_query_asks_for_metrics_that_exist() -> None:
    known = {family.name + suffix for family in families([], [], 0) for suffix in SUFFIXES}
    asked = {name for query in queries() for name in re.findall(r"\bcanary_\w+", query)}
    assert len(asked) >= 7
    assert asked - known == set()


def test_every_panel_has_a_title_a_unit_and_words() -> None:
    for panel in json.loads((MANIFESTS / "grafana" / "rollouts.json").read_text())["panels"]:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]


def test_prometheus_accepts_the_rules_and_the_queries(tmp_path: Path) -> None:
    """By its own tool; the dashboard's queries as recording rules."""
    tool = shutil.which("promtool") or (str(CACHED) if CACHED.exists() else None)
    if tool is None:
        pytest.skip("There is no promtool on this machine: the syntax of the queries was not checked by Prometheus.")
    panels = tmp_path / "panels.yaml"
    recorded = [
        {"record": f"panel:{number}", "expr": query.replace("$rollout", ".*")} for number, query in enumerate(queries())
    ]
    panels.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    command = [tool, "check", "rules", str(RULES), str(panels)]
    checked = subprocess.run(command, check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
