"""`kubectl canary pause`, `abort` and the others: asked in the cluster, answered by an operator in virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import click
import pytest
from click.testing import CliRunner

from canary.snapshot import Verb
from controlplane.kubectl.ask import ask
from controlplane.kubectl.main import canary
from controlplane.kubectl.session import KubectlSession, Where
from controlplane.kubernetes.api import Object, Rejected, Resource
from controlplane.kubernetes.resources import MODEL_CANARY
from controlplane.operator.request_annotations import PREFIX, requests_in
from controlplane.simulation.clock import play
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.kubectl.desk import PERSON, PLACE, a_spec, broken, desk, good, session, under_way
from tests.controlplane.operator.town import NAME, Town

Story = Callable[[Town, KubectlSession], Coroutine[Any, Any, None]]


def plays(story: Story) -> Callable[..., None]:
    """A test of a story with an operator at work and a person at a terminal."""

    def test(capsys: pytest.CaptureFixture[str]) -> None:
        async def played() -> None:
            town = Town()
            office = town.office()
            async with asyncio.TaskGroup() as tasks:
                living = tasks.create_task(office.live())
                await story(town, session(town.kube.acting_as("kubectl-canary"), Where(), town.clock.now))
                living.cancel()

        play(played())

    test.__name__, test.__doc__ = story.__name__, story.__doc__
    return test


async def asked(person: KubectlSession, verb: Verb, **how: Any) -> int:
    """The exit code."""
    return await ask(person, NAME, verb, sure=True, **how)


@plays
async def test_pause_and_resume_are_answered_in_the_operators_words(town: Town, person: KubectlSession) -> None:
    await under_way(town)
    assert await asked(person, "pause") == 0
    assert town.status()["phase"] == "Paused"
    assert town.status()["message"].startswith(f"{PERSON} paused the rollout at 5 %")
    assert await asked(person, "resume") == 0
    assert town.status()["phase"] == "Analyzing"
    await town.until(lambda: not requests(town))


@plays
async def test_abort_puts_everything_back_and_retry_begins_once_more(town: Town, person: KubectlSession) -> None:
    await under_way(town)
    assert await asked(person, "abort") == 0
    await town.until(town.at_rest)
    assert town.status()["result"] == "aborted"
    assert await asked(person, "pause") == 1
    assert await asked(person, "retry") == 0
    rollout = town.rollout()
    assert rollout is not None
    assert rollout.attempt == 2
    messages = [each.message for each in rollout.history if each.event == "operator"]
    assert not [each for each in messages if "not possible" in each]


@plays
async def test_promote_goes_to_the_next_stage(town: Town, person: KubectlSession) -> None:
    await under_way(town)
    assert await asked(person, "promote") == 0
    await town.until(town.at_rest)
    assert town.status()["result"] == "promoted"


@plays
async def test_promote_goes_to_a_later_share_and_refuses_others(town: Town, person: KubectlSession) -> None:
    stages: list[dict[str, Any]] = [
        *({"traffic": share, "hold": "1h", "gates": ["error_rate <= 5%"]} for share in ("5%", "25%", "75%")),
        {"traffic": "100%", "hold": "1h"},
    ]
    await town.apply(spec=a_spec(stages=stages))
    await town.until(lambda: town.status().get("phase") == "Analyzing")
    assert await asked(person, "promote", to=0.6) == 1
    assert await asked(person, "promote", to=0.05) == 1
    assert town.status()["stage"] == 0
    assert await asked(person, "promote", to=0.75) == 0
    assert town.status()["stage"] == 2
    rollout = town.rollout()
    assert rollout is not None
    assert [each.message for each in rollout.history if each.event == "operator"] == [
        f"{PERSON} asked to promote to 60 %, which no later stage has (25 %, 75 %, 100 %): nothing was changed.",
        f"{PERSON} asked to promote to 5 %, which no later stage has (25 %, 75 %, 100 %): nothing was changed.",
        f"{PERSON} skipped to stage 3 (75 %).",
    ]


def test_a_dry_run_says_what_a_request_would_do_and_changes_nothing() -> None:
    """And asks the server, which keeps nothing of it: here a copy of the one that people look at."""
    person, copy = desk(under_way), desk(under_way).kube
    before = person.kube.objects(MODEL_CANARY)

    def trying(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(
            canary, [*words, NAME, "--dry-run=server"], obj=lambda where: replace(person.open(where), trial=copy)
        )
        return done.exit_code, done.output

    takes = "The API server takes the request (nothing was changed)."
    back = "All traffic goes back to v1 at once, and the rollout ends. It cannot be undone."
    assert trying("abort") == (0, f"{NAME}: {back} {takes}\n")
    assert [each.verb for each in requests_in(copy.objects(MODEL_CANARY)[PLACE, NAME]).values() if each] == ["abort"]
    assert trying("promote", "--full")[0] == 0
    assert trying("approve") == (1, f"{NAME}: It does not wait for anybody's word.\n")
    assert trying("retry")[0] == 1
    code, told = trying("promote", "--to", "30%")
    assert (code, "to promote to 30 %, which no later stage has (100 %): nothing was changed." in told) == (1, True)
    copy.fail_next(Rejected("patch modelcanaries/chat: ann may not"), verb="patch")
    assert trying("pause") == (1, "patch modelcanaries/chat: ann may not.\n")
    assert person.kube.objects(MODEL_CANARY) == before


@plays
async def test_what_makes_no_sense_now_is_answered_and_fails(town: Town, person: KubectlSession) -> None:
    await under_way(town)
    assert await asked(person, "approve") == 1
    assert town.status()["phase"] == "Analyzing"


@plays
async def test_the_servers_own_name_for_us_is_written_down(town: Town, person: KubectlSession) -> None:
    """A kubeconfig calls people as it likes."""

    class Knowing(MemoryKube):
        async def create(self, resource: Resource, object_: Object) -> Object:
            if resource.plural == "selfsubjectreviews":
                return {"status": {"userInfo": {"username": "ann (oidc)"}}}
            return await super().create(resource, object_)

    await under_way(town)
    assert await asked(replace(person, kube=Knowing(town.clock, server=town.kube.server)), "pause") == 0
    assert town.status()["message"].startswith("ann (oidc) paused")


def requests(town: Town) -> list[str]:
    """Annotations that wait for an answer."""
    meta = town.kube.objects(MODEL_CANARY)[PLACE, NAME]["metadata"]
    return [key for key in meta.get("annotations") or {} if key.startswith(PREFIX)]


def test_without_an_operator_the_request_stays_and_says_so() -> None:
    person = desk(under_way)
    told = person("pause", "chat", "--timeout", "0.05")
    assert told.exit_code == 3
    assert "Nobody answered within 50 ms. The request stays until somebody does." in told.stderr
    assert "No operator seems to run in this cluster: there is no Lease serinus-controller." in told.stderr
    meta = person.kube.objects(MODEL_CANARY)[PLACE, "chat"]["metadata"]
    assert len([key for key in meta["annotations"] if key.startswith(PREFIX)]) == 1


def test_no_wait_only_asks() -> None:
    told = desk(under_way)("pause", "chat", "--no-wait")
    assert (told.exit_code, told.stdout) == (
        0,
        "chat was asked to pause; the answer will be in `kubectl canary history chat`.\n",
    )


def test_what_hurts_needs_a_yes_where_nobody_can_be_asked() -> None:
    """And the effect is said in the words of the dashboard's button."""
    person = desk(under_way)
    before = person.kube.objects(MODEL_CANARY)
    told = person("abort", "chat")
    assert told.exit_code == 2
    assert "All traffic goes back to v1 at once, and the rollout ends. It cannot be undone." in told.stderr
    assert "add --yes" in told.stderr
    assert person.kube.objects(MODEL_CANARY) == before


def test_a_share_is_named_in_the_confirmation_and_written_with_the_request() -> None:
    person = desk(under_way)
    told = person("promote", "chat", "--to", "100%")
    assert told.exit_code == 2
    assert "All stages before 100 % are skipped unjudged: v2 gets 100 % of the traffic." in told.stderr
    assert person("promote", "chat", "--to", "100%", "--yes", "--no-wait").exit_code == 0
    (asked,) = requests_in(person.kube.objects(MODEL_CANARY)[PLACE, "chat"]).values()
    assert asked is not None
    assert (asked.verb, asked.full, asked.to) == ("promote", False, 1.0)


@pytest.mark.parametrize("words", [("--to", "75%", "--full"), ("--to", "75"), ("--to", "much")])
def test_two_places_or_no_share_is_a_usage_error_and_nothing_is_asked(words: tuple[str, ...]) -> None:
    person = desk(under_way)
    before = person.kube.objects(MODEL_CANARY)
    assert person("promote", "chat", "--yes", *words).exit_code == 2
    assert person.kube.objects(MODEL_CANARY) == before


def test_on_a_terminal_what_hurts_is_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.kubectl.ask.somebody_sits_there", lambda: True)
    person = desk(under_way)
    before = person.kube.objects(MODEL_CANARY)
    assert "Aborted" in person("abort", "chat", typed="n\n").stderr
    assert person.kube.objects(MODEL_CANARY) == before
    assert person("abort", "chat", "--no-wait", typed="y\n").exit_code == 0
    assert person.kube.objects(MODEL_CANARY) != before


def test_there_is_nobody_to_ask_where_nothing_is_under_way() -> None:
    told = desk(broken)("pause", "chat")
    assert told.exit_code == 1
    assert told.stderr == "chat in namespace models has no rollout under way (rolled back): nothing was asked.\n"
    assert "was promoted" in desk(good)("retry", "chat").stderr
    assert "is under way (Analyzing)" in desk(under_way)("retry", "chat").stderr


def test_who_may_not_act_is_told_which_permission_is_missing() -> None:
    person = desk(under_way)
    said = 'patch x: modelcanaries is forbidden: User "bob" cannot patch resource "modelcanaries"'
    person.kube.fail_next(Rejected(said), verb="patch")
    told = person("pause", "chat")
    assert told.exit_code == 1
    assert told.stderr.startswith('bob may not patch resource "modelcanaries".')


def test_every_verb_has_a_sentence_of_help() -> None:
    from controlplane.kubectl.main import COMMANDS, canary

    for name in COMMANDS:
        command = canary.get_command(click.Context(canary), name)
        assert command is not None
        assert command.get_short_help_str(), name
