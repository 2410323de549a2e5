"""Completion: what a shell is given to source, and what kubectl is answered."""

import sys

import click
import pytest
from click.shell_completion import ShellComplete

from controlplane.kubectl import completion
from controlplane.kubectl.main import canary
from controlplane.kubectl.names import complete_names
from controlplane.kubernetes.resources import MODEL_CANARY
from tests.controlplane.kubectl.desk import a_canary, desk, under_way


def test_names_of_rollouts_come_with_their_phases() -> None:
    person = desk()
    for name, phase in (("chat", "Paused"), ("chart", "Analyzing"), ("other", "Blind")):
        person.kube.seed(MODEL_CANARY, a_canary(name) | {"status": {"phase": phase}})
    context = click.Context(canary, obj=person.open)
    found = complete_names(context, click.Argument(["name"]), "cha")
    assert [(each.value, each.help) for each in found] == [("chart", "Analyzing"), ("chat", "Paused")]


def test_the_shares_that_the_named_rollout_has_left_are_offered() -> None:
    person = desk(under_way)
    offered = ShellComplete(canary, {"obj": person.open}, completion.PROGRAM, completion.VARIABLE)
    assert [each.value for each in offered.get_completions(["promote", "chat", "--to"], "")] == ["100%"]
    assert offered.get_completions(["promote", "other", "--to"], "") == []
    assert offered.get_completions(["promote", "--to"], "") == []


def test_a_cluster_that_does_not_answer_completes_nothing() -> None:
    person = desk()
    person.kube.down = True
    assert complete_names(click.Context(canary, obj=person.open), click.Argument(["name"]), "") == []


def test_verbs_complete_without_importing_any() -> None:
    """The tab key must not wait for what no verb has asked for."""
    before = set(sys.modules)
    found = ShellComplete(canary, {}, completion.PROGRAM, completion.VARIABLE).get_completions([], "pro")
    assert [each.value for each in found] == ["promote"]
    assert "controlplane.kubectl.ask" in before or "controlplane.kubectl.ask" not in sys.modules


def test_kubectl_is_answered_in_its_own_form(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kubectl_complete-canary", "re"])
    completion.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["report", "resume", "retry", ":4"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_for_the_program_that_is_on_the_path(shell: str) -> None:
    told = desk()("completion", shell)
    assert told.exit_code == 0
    assert "kubectl-canary" in told.stdout
    assert "_KUBECTL_CANARY_COMPLETE" in told.stdout
