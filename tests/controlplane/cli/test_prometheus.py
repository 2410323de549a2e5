"""Who we are to a Prometheus, as the command line says it."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from canary.errors import BadInput
from controlplane.adapters.prometheus_auth import PrometheusAuth
from controlplane.adapters.system_clock import SystemClock
from controlplane.cli import controller
from controlplane.cli.cluster import InACluster
from controlplane.cli.prometheus import prometheus_access
from controlplane.kserve.caches import Caches
from controlplane.operator.cluster_environments import ClusterEnvironments
from controlplane.operator.registry import Registry
from controlplane.operator.spec_reader import read
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.operator.town import a_canary, a_spec

WORDS = [
    *("--prometheus-token-file", "token", "--prometheus-header", "X-Scope-OrgID=a=b"),
    *("--prometheus-header", "X-Other: c", "--prometheus-ca", "ca.pem"),
    *("--prometheus-cert", "own.pem", "--prometheus-key", "own.key"),
]
MEANT = PrometheusAuth(
    bearer_file=Path("token"),
    headers={"X-Scope-OrgID": "a=b", "X-Other": "c"},
    ca_file=Path("ca.pem"),
    certificate_file=Path("own.pem"),
    key_file=Path("own.key"),
)


def test_every_option_has_its_place() -> None:
    given: list[PrometheusAuth] = []

    @click.command()
    @prometheus_access
    def command(access: PrometheusAuth) -> None:
        given.append(access)

    assert CliRunner().invoke(command, WORDS).exit_code == 0
    assert CliRunner().invoke(command, ["--prometheus-user", "me", "--prometheus-password-file", "word"]).exit_code == 0
    assert given == [MEANT, PrometheusAuth(username="me", password_file=Path("word"))]


def test_the_operator_is_given_what_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[InACluster] = []

    def run(options: InACluster, _interval: float, _log_format: str, _proxies: tuple[str, ...]) -> int:
        given.append(options)
        return 0

    monkeypatch.setattr(controller, "run_operator", run)
    assert CliRunner().invoke(controller.command, ["--cluster", "--prometheus", "http://p:9090", *WORDS]).exit_code == 0
    assert given[0].access == MEANT


@pytest.mark.parametrize("header", ["secret", "=secret", " : secret"])
def test_a_header_without_a_name_is_refused_and_not_repeated(header: str) -> None:
    result = CliRunner().invoke(controller.command, ["--cluster", "--prometheus-header", header])
    assert result.exit_code == 2
    assert "expected NAME=VALUE" in result.output
    assert "secret" not in result.output


async def test_a_prometheus_that_only_a_plan_names_is_not_shown_who_we_are(tmp_path: Path) -> None:
    """Whoever may write plans would otherwise be sent the operator's token."""
    token = tmp_path / "token"
    token.write_text("hidden")
    access = PrometheusAuth(bearer_file=token, headers={"X-Scope-OrgID": "team-a"})
    kube, own = MemoryKube(SystemClock()), "http://own:9090"
    registry = Registry.of(own, access, addresses="private")
    world = ClusterEnvironments(kube, Caches(), clock=SystemClock(), prometheus=registry, interval=1.0)
    shown = {}
    for name, url in (("a", own), ("b", "http://theirs:9090")):
        spec = a_spec()
        spec["platform"]["kserve"] |= {"prometheus": url, "metricsProfile": "vllm"}
        plan = read(a_canary(name, spec)).plan
        assert plan is not None
        world.open(plan, "models")
        headers = world._fleets[url].api._http._headers
        shown[name] = dict(headers()) if headers else {}
    await world.close()
    assert shown == {"a": {"X-Scope-OrgID": "team-a", "authorization": "Bearer hidden"}, "b": {}}


def test_an_access_that_cannot_be_used_is_said_before_anything_starts() -> None:
    registry = Registry.of("http://p", PrometheusAuth(ca_file=Path("ca.pem")))
    with pytest.raises(BadInput, match="which is not asked over https"):
        ClusterEnvironments(MemoryKube(SystemClock()), Caches(), clock=SystemClock(), prometheus=registry, interval=1.0)
