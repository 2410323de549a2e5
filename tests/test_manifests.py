"""The shipped Grafana dashboard and Prometheus rules ask for metrics that exist, in queries that Prometheus accepts."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.api.metrics import families
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.resources import MODEL_CANARY
from controlplane.operator.counters import OperatorCounters
from controlplane.operator.metrics import Numbers
from controlplane.operator.metrics import _families as operator_families

MANIFESTS = Path(__file__).parent.parent / "manifests"
RULES = MANIFESTS / "prometheus" / "rules.yaml"
SUFFIXES = ("", "_total", "_bucket", "_sum", "_count")
CACHED = Path.home() / ".cache" / "serinus" / "prometheus" / "usr" / "bin" / "promtool"


def dashboard() -> Any:
    """The Grafana dashboard."""
    return json.loads((MANIFESTS / "grafana" / "rollouts.json").read_text())


def drawn() -> list[tuple[str, str]]:
    """Every query of the dashboard with what its legend or title is made of."""
    asked = [(target["expr"], target["legendFormat"]) for panel in dashboard()["panels"] for target in panel["targets"]]
    return asked + [(each["expr"], each["titleFormat"]) for each in dashboard()["annotations"]["list"]]


def queries() -> list[str]:
    """Every query of both."""
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    return [query for query, _ in drawn()] + [rule["expr"] for rule in rules]


def exported() -> dict[str, set[str]]:
    """Every series that the dashboard's server or the operator exports, with the labels that it may have."""
    idle = Numbers(Cache(MODEL_CANARY), [], OperatorCounters(), leading=True, queued=0, events_lost=0, requests={})
    found: dict[str, set[str]] = {}
    for family in (*families([], [], 0), *operator_families(idle)):
        labels = set(vars(family)["_labelnames"])
        for suffix in SUFFIXES:
            found.setdefault(family.name + suffix, set()).update(labels | ({"le"} if suffix == "_bucket" else set()))
    return found


def test_every_query_asks_for_metrics_that_exist() -> None:
    asked = {name for query in queries() for name in re.findall(r"\b(?:canary|ai)_\w+", query)}
    assert len(asked) >= 15
    assert asked - exported().keys() == set()


def test_every_query_of_the_dashboard_tells_apart_by_labels_that_exist() -> None:
    known = exported()
    for query, legend in drawn():
        has = {label for name in re.findall(r"\b(?:canary|ai)_\w+", query) for label in known[name]}
        asked = set(re.findall(r"[{,]\s*(\w+)\s*(?:=|!)", query))
        grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")}
        shown = set(re.findall(r"{{(\w+)}}", legend))
        assert (asked | grouped | shown) - has == set(), query
        assert shown <= grouped or not grouped, legend


def test_every_panel_has_a_title_a_unit_and_words() -> None:
    for panel in dashboard()["panels"]:
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
