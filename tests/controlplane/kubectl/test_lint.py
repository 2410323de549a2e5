"""`kubectl canary lint`: the faults of `serinus validate --for cluster`, and the API server's word."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from controlplane.adapters.system_clock import SystemClock
from controlplane.kubectl.main import canary
from controlplane.kubernetes.api import NotFound, Object, Rejected
from controlplane.kubernetes.resources import MODEL_CANARY, NAMESPACE
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.kubectl.desk import PLACE, Desk, a_canary, a_spec, desk


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A canary.yml in order."""
    object_ = a_canary()
    del object_["metadata"]["namespace"]
    file = tmp_path / "canary.yml"
    file.write_text(yaml.safe_dump(object_), encoding="utf-8")
    return file


def tried(person: Desk, answer: Exception | None, *words: str) -> tuple[int, str, list[Object]]:
    """Exit code, output and what the server was asked."""
    trial = MemoryKube(SystemClock())
    trial.seed(NAMESPACE, *({"metadata": {"name": name}} for name in (PLACE, "models")))
    if answer is not None:
        trial.fail_next(answer, verb="patch")

    def opener(where: Any) -> Any:
        return replace(person.open(where), trial=trial)

    done = CliRunner().invoke(canary, ["lint", *words], obj=opener)
    return done.exit_code, done.output, list(trial.objects(MODEL_CANARY).values())


def test_a_plan_for_a_cluster_is_in_order_without_asking_one(plan: Path) -> None:
    code, told, asked = tried(desk(), None, str(plan))
    assert (code, asked) == (0, [])
    assert "ok: chat, v1 to v2" in told


def test_what_a_cluster_does_not_carry_out_is_a_fault_with_its_line(plan: Path) -> None:
    plan.write_text(yaml.safe_dump(a_canary(spec=a_spec() | {"sticky": {"header": "x-user"}})), encoding="utf-8")
    code, told, asked = tried(desk(), None, str(plan), "--dry-run=server")
    assert (code, asked) == (2, [])
    assert f"{plan}:" in told
    assert "spec.sticky" in told


def test_the_server_is_asked_in_the_namespace_that_is_meant(plan: Path) -> None:
    code, told, (object_,) = tried(desk(), None, str(plan), "--dry-run=server", "-n", "models")
    assert code == 0
    assert object_["metadata"]["namespace"] == "models"
    assert "takes it in namespace models (nothing was changed)" in told


def test_the_servers_refusal_and_a_missing_crd_are_bad_input(plan: Path) -> None:
    code, told, _ = tried(desk(), Rejected("patch x: admission webhook said no"), str(plan), "--dry-run=server")
    assert (code, "admission webhook said no" in told) == (2, True)
    code, told, _ = tried(desk(), NotFound("the server could not find it"), str(plan), "--dry-run=server")
    assert (code, "does not know ModelCanaries" in told) == (2, True)


def test_standard_input_cannot_be_read_twice() -> None:
    assert tried(desk(), None, "-", "--dry-run=server")[0] == 2
