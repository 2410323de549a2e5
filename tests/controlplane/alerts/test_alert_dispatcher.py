"""Events in, alerts out: R13, a hanging channel, restarts, and secrets that are never shown (S7)."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from canary.alert import AlertNotice, AlertState, Commands
from canary.alert import hear as whole
from canary.errors import BadInput, Unavailable
from canary.rollout import Event, Phase, Reason
from canary.spec import parse
from canary.spec.models import ModelCanary
from controlplane.adapters.callback_notifier import CallbackNotifier
from controlplane.adapters.memory_store import MemoryStore
from controlplane.adapters.system_clock import SystemClock
from controlplane.alerts import alert_dispatcher as module
from controlplane.alerts import delivery_queue as pace
from controlplane.alerts import notifier as notifier_module
from controlplane.alerts import open_notifier
from controlplane.ports import Notifier
from tests.canary.rollouts import a_rollout, an_event
from tests.controlplane.alerts.receivers import Receiver

MARKER = "MARKER-77aa"
PLAN = """\
apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {name: chat}
spec:
  model: {name: m}
  stable: {name: v1, command: [a]}
  canary: {name: v2, command: [b]}
  stages: [{traffic: 5%}, {traffic: 100%}]
"""


def plan(*alerts: str) -> ModelCanary:
    """A plan with these items of `alerts`."""
    items = "".join(f"    - {item}\n" for item in alerts)
    return parse(f"{PLAN}  alerts:\n{items}" if alerts else PLAN, "c.yml")


def happened(number: int, **changes: object) -> Event:
    """An event of now, so that it is worth telling."""
    return replace(an_event(number), at=SystemClock().now() + number / 100, **changes)  # type: ignore[arg-type]  # names are checked by replace itself


BLIND = {"phase": Phase.BLIND, "reason": Reason.METRICS_SILENT, "message": "The metric source is silent."}
BACK = {"phase": Phase.ANALYZING, "reason": Reason.METRICS_BACK, "message": "The metric source is back."}
GONE = {"phase": Phase.ROLLING_BACK, "reason": Reason.GATE_FAILED, "message": "error rate: 15.6 %."}
DONE = {"event": "end", "phase": Phase.ROLLED_BACK, "message": "All back.", "evidence": {"result": "rolled_back"}}


class World:
    """One state folder and store over several starts."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.store = MemoryStore()
        self.said: list[str] = []
        self.heard: list[str] = []
        self.environment: dict[str, str] = {}
        self._version = 0

    async def save(self, *events: Event) -> None:
        """What the loop does before it announces."""
        rollout = a_rollout(history=events, events=len(events))
        self._version = await self.store.save(rollout, "", self._version)

    @asynccontextmanager
    async def open(self, spec: ModelCanary) -> AsyncIterator[Notifier]:
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
            yield await stack.enter_async_context(
                open_notifier(
                    spec,
                    CallbackNotifier(lambda event: self.heard.append(event.id)),
                    store=self.store,
                    state=self.state,
                    clock=SystemClock(),
                    say=self.said.append,
                    spawn=tasks.create_task,
                    environment=self.environment,
                )
            )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "state")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_RETRY", "SOON"):
        monkeypatch.setattr(pace, name, 0.02)
    monkeypatch.setattr(notifier_module, "LAST_WORDS", 0.3)


@pytest.fixture
async def hook(world: World) -> AsyncIterator[Receiver]:
    """A webhook whose address is in $HOOK."""
    async with Receiver() as server:
        world.environment["HOOK"] = server.url(f"/{MARKER}")
        yield server


HOOK = "webhook: {urlFrom: {env: HOOK}}"


def keys(server: Receiver) -> list[tuple[str, str]]:
    """Key and state of everything that arrived."""
    return [(got.json["data"]["key"], got.json["data"]["state"]) for got in server.got]


async def test_without_alerts_the_listener_is_alone(world: World) -> None:
    async with world.open(plan()) as notifier:
        assert isinstance(notifier, CallbackNotifier)
    assert not world.state.exists()


async def test_the_listener_hears_everything_and_the_channel_what_matters(world: World, hook: Receiver) -> None:
    async with world.open(plan(HOOK)) as notifier:
        for count, event in enumerate((happened(1), happened(2, **BLIND), happened(3))):
            await notifier.tell(event)
            await notifier.tell(event)
            await hook.until(lambda told=count: len(hook.got) >= told)  # type: ignore[misc]  # a default, bound now
    assert world.heard == ["chat/1/1", "chat/1/2", "chat/1/3"]
    assert keys(hook) == [("chat/1/blind", "firing"), ("chat/1/blind", "resolved")]


async def test_r13_a_channel_that_is_down_keeps_no_other_from_being_told(world: World, hook: Receiver) -> None:
    world.environment["DOWN"] = "http://127.0.0.1:9/x"
    async with world.open(plan("slack: {urlFrom: {env: DOWN}}", HOOK)) as notifier:
        await notifier.tell(happened(1, **GONE))
        await notifier.tell(happened(2, **DONE))
        await hook.until(lambda: len(hook.got) == 1)
    assert keys(hook) == [("chat/1/rolledBack", "firing")]
    assert any("Alerts to slack ($DOWN) do not arrive: nobody listens there" in line for line in world.said)


async def test_r13_a_retry_has_the_same_id_and_key(world: World, hook: Receiver) -> None:
    hook.answers = [500, 503, 429]
    async with world.open(plan(HOOK)) as notifier:
        await notifier.tell(happened(1, **BLIND))
        await hook.until(lambda: len(hook.got) == 4)
    assert len({(got.json["id"], got.headers["webhook-id"], got.json["data"]["key"]) for got in hook.got}) == 1


async def test_r13_an_end_is_told_for_the_same_key(world: World, hook: Receiver) -> None:
    async with world.open(plan(HOOK)) as notifier:
        await notifier.tell(happened(1, **BLIND))
        await hook.until(lambda: len(hook.got) == 1)
        await notifier.tell(happened(2, **BACK))
        await hook.until(lambda: len(hook.got) == 2)
    assert keys(hook) == [("chat/1/blind", "firing"), ("chat/1/blind", "resolved")]


async def test_r13_a_restart_repeats_nothing_that_was_told(world: World, hook: Receiver) -> None:
    """The loop announces again what it had not yet saved as announced."""
    events = (happened(1, **BLIND), happened(2, **BACK), happened(3, **GONE), happened(4, **DONE))
    for _ in range(3):
        async with world.open(plan(HOOK)) as notifier:
            await notifier.tell(events[0])
            await hook.until(lambda: len(hook.got) >= 1)
            for event in events[1:]:
                await notifier.tell(event)
            await hook.until(lambda: len(hook.got) >= 3)
        await world.save(*events)
    assert sorted(keys(hook)) == [
        ("chat/1/blind", "firing"),
        ("chat/1/blind", "resolved"),
        ("chat/1/rolledBack", "firing"),
    ]


async def test_r13_what_a_channel_was_not_told_is_told_after_a_restart(
    world: World, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier_module, "LAST_WORDS", 0.1)
    await hook.stop()
    async with world.open(plan(HOOK)) as notifier:
        events = (happened(1, **GONE), happened(2, **DONE))
        await world.save(*events)
        for event in events:
            await notifier.tell(event)
    assert "1 alert to webhook ($HOOK) could not be delivered yet" in world.said[-1]
    await hook.start()
    async with world.open(plan(HOOK)):
        await hook.until(lambda: len(hook.got) == 1)
    async with world.open(plan(HOOK)):
        pass
    assert keys(hook) == [("chat/1/rolledBack", "firing")]


async def test_r13_an_end_that_was_saved_and_never_announced_is_told_after_a_restart(
    world: World, hook: Receiver
) -> None:
    """Killed between the write and the announcement: a finished rollout is not announced again by anybody else."""
    async with world.open(plan(HOOK)) as notifier:
        await notifier.tell(happened(1))
    await world.save(happened(1), happened(2, **GONE), happened(3, **DONE))
    async with world.open(plan(HOOK)):
        await hook.until(lambda: len(hook.got) == 1)
    assert keys(hook) == [("chat/1/rolledBack", "firing")]


async def test_a_channel_is_not_told_what_happened_before_it_was_set_up(world: World, hook: Receiver) -> None:
    old = [replace(event, at=event.at - 60) for event in (happened(1, **GONE), happened(2, **DONE))]
    await world.save(*old)
    async with world.open(plan(HOOK)):
        pass
    assert hook.got == []


async def test_r13_a_flood_becomes_one_message(world: World, hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics that flap: a person gets the first few, and then one message for the rest."""
    monkeypatch.setattr(module, "Cap", lambda: pace.Cap(3, 1.0))
    world.environment["SLACK"] = world.environment["HOOK"]
    async with world.open(plan("slack: {urlFrom: {env: SLACK}}")) as notifier:
        for attempt in range(1, 40):
            await notifier.tell(replace(happened(1, **BLIND), id=f"m{attempt}/1/1", rollout=f"m{attempt}"))
        await hook.until(lambda: len(hook.got) == 3)
    assert [got.json["text"].count("37 alerts came faster") for got in hook.got] == [0, 0, 1]


async def test_a_channel_that_hangs_delays_nobody(
    world: World, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the loop, which hands events over, nor another channel, nor the end of the program."""
    monkeypatch.setattr(notifier_module, "LAST_WORDS", 0.1)
    async with Receiver(hangs=True) as hanging:
        world.environment["HANGS"] = hanging.url()
        async with world.open(plan("slack: {urlFrom: {env: HANGS}}", HOOK)) as notifier:
            await notifier.tell(happened(1, **GONE))
            await hanging.until(lambda: len(hanging.got) == 1)
            for number in range(2, 50):
                async with asyncio.timeout(1):
                    await notifier.tell(happened(number))
            await notifier.tell(happened(50, **DONE))
            await hook.until(lambda: len(hook.got) == 2)
    assert {key for key, _ in keys(hook)} == {"chat/1/rolledBack"}


async def test_a_channel_is_told_what_its_owner_asked_for(world: World, hook: Receiver) -> None:
    async with world.open(plan("{webhook: {urlFrom: {env: HOOK}}, on: [rolledBack]}")) as notifier:
        await notifier.tell(happened(1, **BLIND))
        await notifier.tell(happened(2, **GONE))
        await notifier.tell(happened(3, **DONE))
        await hook.until(lambda: len(hook.got) == 1)
    assert keys(hook) == [("chat/1/rolledBack", "firing")]


async def test_a_missing_secret_is_said_before_the_rollout_and_stops_nothing(world: World, hook: Receiver) -> None:
    async with world.open(plan("slack: {urlFrom: {secret: slack-webhook, key: url}}", HOOK)) as notifier:
        (said,) = world.said
        assert said.startswith("Alerts to slack (slack-webhook/url) cannot be sent as it is: the secret")
        assert "is read from $SERINUS_SECRETS/slack-webhook/url, and $SERINUS_SECRETS is not set." in said
        assert said.endswith("The rollout goes on without them.")
        await notifier.tell(happened(1, **BLIND))
        await hook.until(lambda: len(hook.got) == 1)


async def test_s7_no_secret_is_said_logged_or_kept(
    world: World, hook: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """A marker in every credential, a receiver that repeats what it gets, every way to fail."""
    caplog.set_level(logging.DEBUG)
    world.environment |= dict.fromkeys(("KEY", "TOKEN"), MARKER)
    full = "webhook: {urlFrom: {env: HOOK}, signingKeyFrom: {env: KEY}, tokenFrom: {env: TOKEN}}"
    hook.answers = [500, 429, 302, 401]
    async with world.open(plan(full, "opsgenie: {apiKeyFrom: {env: BROKEN}}")) as notifier:
        await notifier.tell(happened(1, **BLIND))
        await notifier.tell(happened(2, **GONE))
        await hook.until(lambda: not hook.answers)
    assert hook.got[0].headers["authorization"] == f"Bearer {MARKER}"
    kept = "".join(file.read_text() for file in world.state.rglob("*") if file.is_file())
    assert MARKER not in "".join(world.said) + caplog.text + kept
    assert '"key": "chat/1/blind"' in kept or '"since"' in kept


async def test_commands_and_links_lead_to_this_rollout(world: World, hook: Receiver) -> None:
    world.environment["SERINUS_URL"] = "https://serinus.example.com/"
    async with world.open(plan(HOOK)) as notifier:
        await notifier.tell(happened(1, **BLIND))
        await hook.until(lambda: len(hook.got) == 1)
    data = hook.got[0].json["data"]
    assert data["commands"][0] == f"serinus status chat --state {world.state}"
    assert data["link"] == "https://serinus.example.com/rollouts/chat"


@pytest.mark.parametrize("setting", [{"SERINUS_URL": "javascript:alert(1)"}, {"SERINUS_ALERT_NETWORKS": "everything"}])
async def test_a_setting_that_means_nothing_is_said_before_anything_starts(
    tmp_path: Path, setting: dict[str, str]
) -> None:
    spec = plan(HOOK)
    opening = open_notifier(
        spec,
        CallbackNotifier(lambda _: None),
        store=MemoryStore(),
        state=tmp_path,
        clock=SystemClock(),
        say=lambda _: None,
        spawn=asyncio.get_running_loop().create_task,
        environment=setting,
    )
    with pytest.raises(BadInput, match=next(iter(setting))):
        await opening.__aenter__()


async def test_a_store_that_does_not_answer_stops_no_alert(world: World, hook: Receiver) -> None:
    async def history(name: str, attempt: int | None = None) -> list[Event]:
        raise Unavailable("The store is away.")

    world.store.history = history  # type: ignore[method-assign]  # the store goes away
    async with world.open(plan(HOOK)) as notifier:
        await notifier.tell(happened(1, **BLIND))
        await hook.until(lambda: len(hook.got) == 1)
    assert world.said == ["The store is away. Alerts of an earlier rollout may stay untold."]


async def test_earlier_attempts_are_caught_up_with_too(world: World, hook: Receiver) -> None:
    """The channel was away for the end of attempt 1 and the whole of attempt 2."""
    async with world.open(plan(HOOK)):
        pass
    first = [happened(1, **GONE), happened(2, **DONE)]
    await world.save(*first)
    second = [replace(event, id=event.id.replace("/1/", "/2/")) for event in (happened(1, **GONE), happened(2, **DONE))]
    await world.store.save(a_rollout(attempt=2, history=tuple(second), events=2), "", 1)
    async with world.open(plan(HOOK)):
        await hook.until(lambda: len(hook.got) == 2)
    assert keys(hook) == [("chat/1/rolledBack", "firing"), ("chat/2/rolledBack", "firing")]


async def test_an_event_that_no_alert_can_be_made_of_stops_nothing(
    world: World, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in the wording must not end the rollout that it words."""

    def hear(story: AlertState, event: Event, commands: Commands) -> tuple[AlertState, tuple[AlertNotice, ...]]:
        if event.event == "verdict":
            raise ZeroDivisionError("MARKER")
        return whole(story, event, commands)

    monkeypatch.setattr(module, "hear", hear)
    async with world.open(plan(HOOK)) as notifier:
        await notifier.tell(happened(1, event="verdict"))
        await notifier.tell(happened(2, **BLIND))
        await hook.until(lambda: len(hook.got) == 1)
    assert world.said == ["No alert for event chat/1/1: a bug of ours, ZeroDivisionError; please report it."]


async def test_an_alert_names_the_commit_that_brought_its_plan() -> None:
    """And none where the event is of another plan."""
    desk = module.AlertDispatcher([], Commands(), say=print, commits={"r1": "4f2c1aa"})
    asks: dict[str, Any] = {"phase": Phase.AWAITING_APPROVAL, "reason": Reason.APPROVAL_NEEDED}
    ours, (theirs,) = (
        desk._alerts(an_event(attempt=attempt, revision=revision, **asks))
        for attempt, revision in ((1, "r1"), (2, "r2"))
    )
    assert (ours[-1].commit, theirs.commit) == ("4f2c1aa", "")
