"""The controller with whole rollouts, in virtual time, on an API server in memory."""

import asyncio
from typing import Any

import pytest

from canary.errors import Unavailable
from canary.snapshot import OperatorRequest, Verb
from canary.weights import ALL_STABLE, Weights
from controlplane.kubernetes.api import TooManyRequests
from controlplane.kubernetes.resources import EVENT, MODEL_CANARY, NAMESPACE, ROLLOUT_HISTORY
from controlplane.operator.environment import ObjectDrift
from controlplane.operator.finalizer import FINALIZER
from tests.controlplane.operator.town import KEY, NAME, PLACE, Office, Town, a_spec, plays

HALF = Weights.of_share(0.5)


def events(town: Town) -> list[tuple[str, str]]:
    """Reason and note of every Kubernetes Event."""
    return [(each["reason"], each["note"]) for each in town.kube.objects(EVENT).values()]


async def ask(town: Town, verb: Verb, **more: Any) -> None:
    """A person asks, as `kubectl canary` does."""
    office = town.office()
    await office.controller.store(PLACE).ask(NAME, OperatorRequest(f"{verb}-1", verb, "ann", town.clock.now(), **more))


@plays
async def test_a_good_canary_is_promoted_and_the_old_variant_put_away(town: Town, office: Office) -> None:
    await town.apply()
    await town.until(town.at_rest)
    status = town.status()
    assert (status["phase"], status["result"], status["weight"]) == ("Succeeded", "promoted", "100 %")
    assert [weights.share for _, weights in town.place().router.history] == [0.05, 0.5, 1.0]
    assert town.place().gone == ["stable"]
    told = {each["type"]: each["status"] for each in status["conditions"]}
    ended = {"Accepted": "True", "Ready": "True", "Progressing": "False"}
    assert told == {**ended, "Degraded": "False", "Blind": "False", "Drifted": "False"}
    assert office.controller.charges == {}


@plays
async def test_a_bad_canary_is_rolled_back_and_put_away(town: Town, office: Office) -> None:
    await town.apply()
    await town.until(lambda: town.status().get("stage") == 1)
    town.place().broken_since = town.clock.now()
    await town.until(town.at_rest)
    status = town.status()
    assert (status["phase"], status["result"], status["weight"]) == ("RolledBack", "rolled_back", "0 %")
    assert town.place().router.history[-1][1] == ALL_STABLE
    assert town.place().gone == ["canary"]
    assert status["zero"] >= status["decided"]


@plays
async def test_a_rollout_that_ended_is_not_begun_again(town: Town, office: Office) -> None:
    """Not by time, not by a restart, not by a label on the resource."""
    await town.apply()
    await town.until(town.at_rest)
    label = {"metadata": {"labels": {"team": "search"}}}
    await town.kube.patch(MODEL_CANARY, PLACE, NAME, label)
    await asyncio.sleep(600)
    assert town.status()["attempt"] == 1
    assert office.controller.charges == {}


@plays
async def test_nothing_is_written_while_nothing_changes(town: Town, office: Office) -> None:
    """A stage that is held for long costs reads of Prometheus, and no request to the API server."""
    gate = "error_rate <= 5%"
    stages: list[dict[str, Any]] = [{"traffic": "5%", "hold": "10m", "gates": [gate]}, {"traffic": "100%"}]
    await town.apply(spec=a_spec(stages=stages))
    await town.until(lambda: town.status().get("verdict") == "pass")
    await asyncio.sleep(30)
    before = list(office.life.told)
    looks = {"list", "watch"}  # of the follower in this test, not of the operator
    asked = sum(count for request, count in office.kube.counts.items() if request.verb not in looks)
    await asyncio.sleep(300)
    assert office.life.told == before
    assert sum(count for request, count in office.kube.counts.items() if request.verb not in looks) == asked
    assert office.tally.passes > 300


@plays
async def test_people_are_heard_by_annotations_and_the_annotations_go(town: Town, office: Office) -> None:
    await town.apply()
    await town.until(lambda: town.status().get("phase") == "Analyzing")
    await ask(town, "pause")
    await town.until(lambda: town.status().get("phase") == "Paused")
    await asyncio.sleep(60)
    assert town.status()["phase"] == "Paused"
    await ask(town, "resume")
    await town.until(town.at_rest)
    assert town.status()["result"] == "promoted"
    assert not town.kube.objects(MODEL_CANARY)[KEY]["metadata"].get("annotations")


@plays
async def test_a_stage_that_somebody_has_to_approve_waits_for_that(town: Town, office: Office) -> None:
    stages = [{"traffic": "5%", "hold": "5s", "approve": "owners"}, {"traffic": "100%"}]
    await town.apply(spec=a_spec(stages=stages))
    await town.until(lambda: town.status().get("phase") == "AwaitingApproval")
    await asyncio.sleep(100)
    assert town.status()["weight"] == "5 %"
    approval = {"metadata": {"annotations": {"requests.serinus.dev/now": "approve"}}}
    await town.kube.acting_as("kubectl-annotate").patch(MODEL_CANARY, PLACE, NAME, approval)
    await town.until(town.at_rest)
    assert town.status()["result"] == "promoted"


@plays
async def test_an_abort_takes_the_traffic_back_at_once(town: Town, office: Office) -> None:
    await town.apply()
    await town.until(lambda: town.status().get("stage") == 1 and town.place().router._weights == HALF)
    asked_at = town.clock.now()
    await ask(town, "abort")
    await town.until(lambda: town.place().router._weights == ALL_STABLE)
    assert town.clock.now() - asked_at < 1.0
    await town.until(town.at_rest)
    assert town.status()["result"] == "aborted"


@plays
async def test_a_rollout_that_was_put_back_is_tried_again_when_somebody_asks(town: Town, office: Office) -> None:
    await town.apply()
    await town.until(lambda: town.status().get("phase") == "Analyzing")
    await ask(town, "abort")
    await town.until(town.at_rest)
    await ask(town, "retry")
    await town.until(lambda: town.status().get("attempt") == 2)
    await town.until(town.at_rest)
    assert town.status()["result"] == "promoted"


@plays
async def test_what_is_asked_of_nobody_is_answered_all_the_same(town: Town, office: Office) -> None:
    """Nothing is under way, so nothing can be paused; and `frobnicate` means nothing."""
    await town.apply()
    await town.until(town.at_rest)
    await ask(town, "pause")
    nonsense = {"metadata": {"annotations": {"requests.serinus.dev/x": "frobnicate"}}}
    await town.kube.patch(MODEL_CANARY, PLACE, NAME, nonsense)
    await town.until(town.at_rest)
    await asyncio.sleep(1)
    notes = [note for reason, note in events(town) if reason == "RequestRefused"]
    assert any("ann asked to pause, which is not possible" in note for note in notes)
    assert any("requests.serinus.dev/x asks for nothing that is known" in note for note in notes)


@plays
async def test_an_edited_plan_waits_until_the_one_before_gave_its_traffic_back(town: Town, office: Office) -> None:
    await town.apply()
    await town.until(lambda: town.status().get("stage") == 1 and town.place().router._weights == HALF)
    await town.apply(spec=a_spec(canary="v3"))
    await town.until(lambda: town.status().get("attempt") == 2)
    assert town.place().router.history[-1][1] == ALL_STABLE
    assert town.place().router.history[-2][1] == HALF
    await town.until(town.at_rest)
    assert town.status()["result"] == "promoted"
    history = await office.controller.store(PLACE).history(NAME, 1)
    assert history[-1].evidence["result"] == "superseded"


@plays
async def test_a_plan_that_is_edited_back_in_time_begins_again(town: Town, office: Office) -> None:
    """The rollout that was superseded meanwhile is over, so the same plan is a new attempt."""
    await town.apply()
    await town.until(lambda: town.status().get("stage") == 1)
    await town.apply(spec=a_spec(canary="v3"))
    await town.until(lambda: town.status().get("phase") in {"RollingBack", "Superseded"})
    await town.apply()
    await town.until(lambda: town.status().get("attempt") == 2)
    await town.until(town.at_rest)
    assert (town.status()["attempt"], town.status()["result"]) == (2, "promoted")


@plays
async def test_a_plan_at_rest_begins_nothing_and_ends_what_is_under_way(town: Town, office: Office) -> None:
    """As git has it after a promotion, or when somebody takes the canary back: stable and canary say the same."""
    await town.apply(spec=a_spec(canary="v1"))
    await town.until(town.at_rest, seconds=2.0)
    assert town.place().platform._variants == {}
    [accepted] = town.status()["conditions"]
    assert accepted["status"] == "True"
    await town.apply()
    await town.until(lambda: town.status().get("stage") == 1 and town.place().router._weights == HALF)
    await town.apply(spec=a_spec(canary="v1"))
    await town.until(lambda: town.status().get("result") == "superseded")
    assert town.place().router._weights == ALL_STABLE
    await asyncio.sleep(30)
    assert town.status()["attempt"] == 1


@plays
async def test_a_spec_with_faults_is_refused_and_starts_nothing(town: Town, office: Office) -> None:
    stages: list[dict[str, Any]] = [{"traffic": "105%"}, {"traffic": "100%", "gates": ["latency p95 <= 3 bananas"]}]
    await town.apply(spec=a_spec(stages=stages))
    await town.until(lambda: bool(town.status().get("conditions")), seconds=1.0)
    [accepted] = town.status()["conditions"]
    assert (accepted["status"], accepted["reason"]) == ("False", "InvalidSpec")
    assert "spec.stages[0].traffic" in accepted["message"]
    await asyncio.sleep(5)
    assert town.place().platform._variants == {}
    assert any(reason == "InvalidSpec" for reason, _ in events(town))
    before = list(office.life.told)
    await asyncio.sleep(300)
    assert office.life.told == before
    await town.apply()
    await town.until(town.at_rest)
    assert town.status()["result"] == "promoted"


@plays
async def test_faults_in_an_edited_spec_leave_what_runs_untouched(town: Town, office: Office) -> None:
    await town.apply()
    await town.until(lambda: town.status().get("stage") == 1)
    await town.apply(spec=a_spec(stages=[{"traffic": "105%"}]))
    refused = {"type": "Accepted", "status": "False"}
    await town.until(lambda: any(refused.items() <= each.items() for each in town.status()["conditions"]), seconds=2.0)
    await town.until(town.at_rest)
    assert (town.status()["attempt"], town.status()["result"]) == (1, "promoted")


@plays
async def test_a_deleted_modelcanary_goes_once_its_traffic_is_back(town: Town, office: Office) -> None:
    await town.apply()
    await town.until(lambda: town.status().get("stage") == 1 and town.place().router._weights == HALF)
    assert FINALIZER in town.kube.objects(MODEL_CANARY)[KEY]["metadata"]["finalizers"]
    await town.kube.delete(MODEL_CANARY, PLACE, NAME)
    await town.until(lambda: KEY not in town.kube.objects(MODEL_CANARY))
    assert town.place().router._weights == ALL_STABLE
    assert town.place().gone == ["canary"]
    assert "stable" in town.place().platform._variants
    await asyncio.sleep(1)
    farewell = next(note for reason, note in events(town) if reason == "Deleted")
    assert "v1 serves on" in farewell
    assert "kubectl -n models delete httproute/chat inferenceservice/chat-v1" in farewell
    assert office.controller.charges == {}


@plays
async def test_a_deleted_modelcanary_at_rest_goes_at_once_and_leaves_the_winner(town: Town, office: Office) -> None:
    await town.apply()
    await town.until(town.at_rest)
    await town.kube.delete(MODEL_CANARY, PLACE, NAME)
    await town.until(lambda: KEY not in town.kube.objects(MODEL_CANARY), seconds=2.0)
    assert town.place().router.history[-1][1].share == 1.0
    assert town.place().platform._variants.keys() == {"canary"}


@plays
async def test_a_deletion_does_not_wait_for_a_route_that_says_no(town: Town, office: Office) -> None:
    """The Gateway is gone, say: after a while the resource is let go, and one sentence says what could not be done."""
    await town.apply()
    await town.until(lambda: town.status().get("stage") == 1 and town.place().router._weights == HALF)
    town.place().router.refuse("no such gateway")
    await town.kube.delete(MODEL_CANARY, PLACE, NAME)
    await town.until(lambda: KEY not in town.kube.objects(MODEL_CANARY), seconds=40.0)
    await asyncio.sleep(1)
    assert any(reason == "Deleted" and "did not end within 30 s" in note for reason, note in events(town))


@plays
async def test_a_namespace_that_is_deleted_does_not_hang_on_our_finalizer(town: Town, office: Office) -> None:
    """Nothing can be created in it any more, Events neither."""
    await town.apply()
    await town.until(lambda: town.status().get("stage") == 1)
    leaving = {**town.kube.objects(NAMESPACE)["", PLACE], "metadata": {"name": PLACE, "deletionTimestamp": "now"}}
    town.kube.seed(NAMESPACE, leaving)
    await town.kube.delete(MODEL_CANARY, PLACE, NAME)
    await town.until(lambda: KEY not in town.kube.objects(MODEL_CANARY), seconds=5.0)
    assert any("is being deleted with all that is in it" in each for each in town.said)


@plays
async def test_drift_is_told_once_with_the_name_of_who_did_it(town: Town, office: Office) -> None:
    await town.apply()
    await town.until(lambda: town.status().get("stage") == 1)
    town.place().drifts = [ObjectDrift("HTTPRoute chat: argocd changed spec.hostnames.", "argocd", of_route=True)]
    await town.until(town.at_rest)
    told = [note for reason, note in events(town) if reason == "Drift"]
    assert told == ["HTTPRoute chat: argocd changed spec.hostnames."]
    assert town.status()["result"] == "promoted"


@plays
async def test_who_raised_the_share_is_named_though_the_same_pass_takes_it_back(town: Town, office: Office) -> None:
    await town.apply()
    await town.until(lambda: town.status().get("stage") == 1)
    place, sentence = town.place(), "HTTPRoute chat: kubectl-patch changed spec.rules[0].backendRefs[1].weight."
    write = place.router.set_weights

    async def put_right(weights: Weights) -> None:
        place.drifts.clear()
        await write(weights)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(place.router, "set_weights", put_right)
        place.drifts = [ObjectDrift(sentence, "kubectl-patch", of_route=True)]
        await write(Weights.of_share(0.9))
        office.controller.charges[KEY].changed = True  # as the cache of routes says
        office.scheduler.add(KEY)
        await town.until(town.at_rest)
    assert place.drifts == []
    assert [note for reason, note in events(town) if reason == "Drift"] == [sentence]


@plays
async def test_drift_pauses_where_the_plan_says_so(town: Town, office: Office) -> None:
    platform = {"kserve": {"gateway": "kserve/gateway", "hostname": "chat.example.com", "onDrift": "pause"}}
    await town.apply(spec=a_spec(platform=platform))
    await town.until(lambda: town.status().get("stage") == 1)
    town.place().drifts = [ObjectDrift("HTTPRoute chat: argocd changed spec.hostnames.", "argocd")]
    await town.until(lambda: town.status().get("phase") == "Paused")
    await asyncio.sleep(120)
    assert town.status()["phase"] == "Paused"
    assert "the drift guard paused" in town.status()["message"]


@plays
async def test_a_silent_metric_source_freezes_the_weights(town: Town, office: Office) -> None:
    await town.apply()
    await town.until(lambda: town.status().get("phase") == "Analyzing")
    town.place().failure = Unavailable("Prometheus does not answer.")
    await town.until(lambda: town.status().get("phase") == "Blind")
    await asyncio.sleep(100)
    assert town.status()["weight"] == "5 %"
    town.place().failure = None
    await town.until(town.at_rest)
    assert town.status()["result"] == "promoted"


@pytest.mark.parametrize("seed", range(3))
def test_an_api_server_that_is_away_or_busy_only_costs_time(seed: int) -> None:
    """Down for a while at any moment, 429 and lost answers in between: the end is the same and no bug is met."""

    async def story(town: Town, office: Office) -> None:
        await town.apply()
        for number in range(12):
            await asyncio.sleep(1.7 + seed * 0.31)
            if number % 4 == seed:
                town.kube.stop()
                office.kube.down = True
                await asyncio.sleep(4)
                office.kube.down = town.kube.down = False
            office.kube.fail_next(TooManyRequests("slow down", 0.2), verb="patch", times=2)
            office.kube.fail_next(Unavailable("the answer was lost"), verb="patch", after=True)
        await town.until(town.at_rest, seconds=600)
        assert town.status()["result"] == "promoted"
        shares = [weights.share for _, weights in town.place().router.history]
        assert shares == [0.05, 0.5, 1.0]

    plays(story)()


@plays
async def test_a_rollback_does_not_wait_for_an_api_server_that_is_away(town: Town, office: Office) -> None:
    """The gateway's own route is reached; the state follows when it can."""
    await town.apply()
    await town.until(lambda: town.status().get("stage") == 1 and town.place().router._weights == HALF)
    office.kube.down = True
    town.place().broken_since = town.clock.now()
    await town.until(lambda: town.place().router._weights == ALL_STABLE, seconds=20)
    office.kube.down = False
    await town.until(town.at_rest)
    assert town.status()["result"] == "rolled_back"


@plays
async def test_the_whole_history_is_kept_beside_the_status(town: Town, office: Office) -> None:
    await town.apply()
    await town.until(town.at_rest)
    book = town.kube.objects(ROLLOUT_HISTORY)[PLACE, NAME]
    [owner] = book["metadata"]["ownerReferences"]
    assert owner["uid"] == town.kube.objects(MODEL_CANARY)[KEY]["metadata"]["uid"]
    history = await office.controller.store(PLACE).history(NAME)
    rollout = town.rollout()
    assert rollout is not None
    assert [event.id for event in history] == [f"chat/1/{number}" for number in range(1, rollout.events + 1)]


@plays
async def test_many_rollouts_go_on_side_by_side(town: Town, office: Office) -> None:
    names = [f"chat-{number}" for number in range(10)]
    for name in names:
        await town.apply(name)
    await town.until(lambda: all(town.at_rest(name) for name in names), seconds=120)
    assert all(town.status(name)["result"] == "promoted" for name in names)
