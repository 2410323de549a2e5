"""What the options of `serinus controller --cluster` become."""

import pytest
from click.testing import CliRunner

from controlplane.cli import controller
from controlplane.cli.cluster import InACluster, _settings
from controlplane.operator.operator import Operator
from controlplane.simulation.clock import VirtualClock
from testing.fake_apiserver.kube import MemoryKube


def test_s14_what_one_namespace_may_take_is_what_the_options_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cache and the controller of the operator that is made of them."""
    given: list[InACluster] = []

    def run(options: InACluster, *_: object) -> int:
        given.append(options)
        return 0

    monkeypatch.setattr(controller, "run_operator", run)
    for words in ([], ["--rollouts-per-namespace", "2", "--namespace-memory", "64Mi"]):
        assert CliRunner().invoke(controller.command, ["--cluster", *words]).exit_code == 0
    told = []
    for options in given:
        clock = VirtualClock()
        operator = Operator(_settings(options, 1.0), MemoryKube(clock), clock=clock, say=lambda *_: None)
        names = [{"metadata": {"name": str(number), "namespace": "models"}} for number in range(200)]
        begun = [each for each in names if not operator.controller.limit.refusal(each)]
        told.append(({each.cache.allowance.most for each in operator.following.reflectors}, len(begun)))
    assert told == [({32 * 2**20}, 100), ({64 * 2**20}, 2)]
