"""The table of all metrics, held to what both pages really say; and both pages, by Prometheus' own rules."""

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from canary.rollout import Phase
from canary.verdict import GateAnswer, GateVerdict
from controlplane.api import metrics as machine
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.resources import MODEL_CANARY
from controlplane.observability.counts import git_operations
from controlplane.observability.families import page
from controlplane.observability.serving import Version
from controlplane.operator import metrics as operator
from controlplane.operator.counters import OperatorCounters
from tests.canary.rollouts import a_rollout

TABLE = Path(__file__).parents[3] / "docs" / "observability.md"
CACHED = Path.home() / ".cache" / "serinus" / "prometheus" / "usr" / "bin" / "promtool"
GATE = GateVerdict("error_rate <= 1%", GateAnswer.PASS, "well", 0.001, 0.001, 0.01, samples={"stable": 9, "canary": 1})
PAIRS = Counter({("fetch", "ok"): 3})


class Documented(NamedTuple):
    kind: str
    labels: frozenset[str]
    pages: frozenset[str]


def machine_page() -> bytes:
    """With something in every metric."""
    told = machine.AttemptCounts(
        Counter({("Shifting", "StagePassed"): 1}), PAIRS, Counter({"GateFailed": 1}), {"detection": 3.0}
    )
    latency = {0.05: 1.0, float("inf"): 2.0}
    files = machine.Files(
        {("chat", "v1"): Version(2, 1, latency, {"input": 3, "output": 4})}, Counter({("slack", "failed"): 2}), PAIRS
    )
    rollouts = [("chat", a_rollout(phase=Phase.ANALYZING, verdicts=(GATE,)))]
    return page(machine.families(rollouts, [told], 0, files))


def operator_page(*, leading: bool = True) -> bytes:
    """With something in every metric."""
    cache = Cache(MODEL_CANARY)
    status = {"phase": "Analyzing", "state": {"weights": {"canary": 50_000}}}
    cache.put(
        {
            "apiVersion": "serinus.dev/v1alpha1",
            "kind": "ModelCanary",
            "metadata": {"name": "chat", "namespace": "models", "resourceVersion": "1", "uid": "u"},
            "status": status,
        }
    )
    tally = OperatorCounters(
        transitions=Counter(PAIRS), verdicts=Counter(PAIRS), alerts=Counter({("slack", "failed"): 2})
    )
    git_operations.update(PAIRS)
    rollout = a_rollout(phase=Phase.ANALYZING, verdicts=(GATE,))

    class Request(NamedTuple):
        verb: str
        resource: str

    return operator.exposition(
        operator.Numbers(cache, [("models", rollout)], tally, leading, 0, 0, {Request("get", "pods"): 4})
    )


def documented() -> dict[str, Documented]:
    """The table by name."""
    found = {}
    for line in TABLE.read_text().splitlines():
        if row := re.fullmatch(r"\| `(\w+)` \| (\w+) \|([^|]*)\| (\w+) \| [^|]+ \|", line):
            pages = {"machine", "operator"} if row[4] == "both" else {row[4]}
            found[row[1]] = Documented(row[2], frozenset(re.findall(r"`(\w+)`", row[3])), frozenset(pages))
    return found


def told(exposition: bytes) -> dict[str, Metric]:
    """What a page says, by the name that one asks for."""
    found = {}
    for family in text_string_to_metric_families(exposition.decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = family
    return found


@pytest.mark.parametrize("which", ["machine", "operator"])
def test_the_table_names_every_metric_with_its_type_and_labels(which: str) -> None:
    families = told(machine_page() if which == "machine" else operator_page())
    rows = {name: row for name, row in documented().items() if which in row.pages}
    assert families.keys() == rows.keys()
    for name, family in families.items():
        assert family.type == rows[name].kind, name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        if which == "operator" and "name" in labels:
            labels.remove("namespace")
        assert labels == rows[name].labels, name


@pytest.mark.parametrize("which", ["machine", "operator"])
def test_names_help_and_types_follow_prometheus_conventions(which: str) -> None:
    for name, family in told(machine_page() if which == "machine" else operator_page()).items():
        assert re.fullmatch(r"(ai|canary)_[a-z_]+", name)
        assert family.documentation.endswith("."), name
        assert family.type != "counter" or name.endswith("_total")
        assert family.type != "histogram" or name.endswith("_seconds")
        assert not name.endswith(("_ms", "_percent", "_milliseconds", "_count"))


@pytest.mark.real
@pytest.mark.parametrize("which", ["machine", "operator"])
def test_prometheus_own_lint_finds_nothing(which: str) -> None:
    tool = shutil.which("promtool") or (str(CACHED) if CACHED.exists() else None)
    if tool is None:
        pytest.skip("There is no promtool on this machine: the pages were not checked by Prometheus.")
    exposition = machine_page() if which == "machine" else operator_page()
    checked = subprocess.run([tool, "check", "metrics"], input=exposition, check=False, capture_output=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_a_standby_tells_of_no_rollout() -> None:
    """Else a cluster with two replicas would have every rollout twice."""
    standby = told(operator_page(leading=False))
    assert not standby["canary_rollouts"].samples
    assert not standby["canary_weight_ratio"].samples
    assert not standby["canary_analysis_verdict"].samples
    assert [sample.value for sample in standby["canary_operator_leading"].samples] == [0.0]


def test_totals_of_a_variant_that_serves_in_two_rollouts_are_one(tmp_path: Path) -> None:
    """Two series with the same labels would make the whole page unreadable."""
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "serving.json").write_text(
            '{"model": "chat", "versions": {"v1": {"requests": 5, "errors": 1, "latency": {"Infinity": 5}}}}'
        )
    serving = machine._serving([tmp_path / "a", tmp_path / "b", tmp_path / "none"])
    assert serving["chat", "v1"].requests == 10
    assert serving["chat", "v1"].latency[float("inf")] == 10
