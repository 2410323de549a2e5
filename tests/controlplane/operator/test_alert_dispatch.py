"""Alerts in a cluster: Secrets of the rollout's own namespace, and a memory that the next leader has too."""

import asyncio
import base64
from typing import Any

import pytest

from canary.errors import Unavailable
from canary.rollout import Phase, Reason
from canary.spec import revision
from canary.spec.alerts import SecretRef
from canary.spec.models import ModelCanary
from controlplane.adapters.system_clock import SystemClock
from controlplane.alerts.secrets import Missing
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.consent import ALLOW, Consent
from controlplane.kubernetes.names import COMMIT
from controlplane.kubernetes.resources import MODEL_CANARY, ROLLOUT_HISTORY, SECRET
from controlplane.operator.alert_dispatch import AlertDispatchers, ClusterSecrets
from controlplane.operator.spec_reader import read
from controlplane.operator.store import StatusStore
from testing.fake_apiserver.kube import MemoryKube
from tests.canary.rollouts import an_event
from tests.controlplane.alerts.samples import ROLLED_BACK
from tests.controlplane.operator.town import NAME, PLACE, a_canary, a_spec


def _kube(allow: str = "alerts", **secret: str) -> MemoryKube:
    kube = MemoryKube(SystemClock())
    data = {key: base64.b64encode(value.encode()).decode() for key, value in secret.items()}
    meta = {"name": "hook", "namespace": PLACE, "annotations": {ALLOW: allow} if allow else {}}
    kube.seed(SECRET, {"metadata": meta, "data": data})
    return kube


def _secrets(kube: MemoryKube) -> ClusterSecrets:
    return ClusterSecrets(Consent(kube, "alerts"), PLACE)


async def test_a_secret_is_read_from_its_namespace_and_anew_each_time() -> None:
    """A rotated one counts at once, and so does a consent that is taken back."""
    kube = _kube(url="https://hooks.example.com/1\n")
    secrets, reference = _secrets(kube), SecretRef(secret="hook", key="url")
    assert (await secrets.read(reference)).get_secret_value() == "https://hooks.example.com/1"
    meta = {"name": "hook", "namespace": PLACE, "annotations": {ALLOW: "git, alerts"}}
    kube.seed(SECRET, {"metadata": meta, "data": {"url": "aHR0cHM6Ly9uZXc="}})
    assert (await secrets.read(reference)).get_secret_value() == "https://new"
    kube.seed(SECRET, {"metadata": {**meta, "annotations": {}}, "data": {"url": "aHR0cHM6Ly9uZXc="}})
    with pytest.raises(Missing, match="does not allow"):
        await secrets.read(reference)


@pytest.mark.parametrize(
    ("reference", "clause"),
    [
        (SecretRef(secret="other", key="url"), "Secret models/other does not exist"),
        (SecretRef(secret="hook", key="token"), "Secret models/hook has no key token"),
        (SecretRef(secret="hook", key="empty"), "key empty, holds nothing"),
        (SecretRef(env="HOME"), "name a Secret and its key"),
        (SecretRef(file="/etc/passwd"), "name a Secret and its key"),
    ],
)
async def test_a_secret_that_cannot_be_had_says_why(reference: SecretRef, clause: str) -> None:
    """The operator's own variables and files are not for those who write plans."""
    with pytest.raises(Missing, match=clause):
        await _secrets(_kube(url="x", empty=" ")).read(reference)


async def test_an_api_server_that_is_away_is_a_secret_that_is_missing_for_now() -> None:
    kube = _kube(url="x")
    kube.down = True
    with pytest.raises(Missing, match="cannot be read"):
        await _secrets(kube).read(SecretRef(secret="hook", key="url"))


async def test_what_was_delivered_is_known_to_the_next_leader() -> None:
    """Alerts of two rollouts of one name in two namespaces have keys of their own, and each names its commit."""
    kube = _kube(url="https://hooks.example.com/1")
    alert = {"webhook": {"urlFrom": {"secret": "hook", "key": "url"}}}
    owner = {**a_canary(spec=a_spec(alerts=[alert])), "status": {}}
    kube.seed(MODEL_CANARY, owner)
    owner = kube.objects(MODEL_CANARY)[PLACE, NAME]
    owner["metadata"]["annotations"] = {COMMIT: "4f2c1e9"}
    plan = read(owner).plan
    assert plan is not None
    happened = SystemClock().now()
    sent = await _tell(kube, plan, owner, happened)
    assert [(each.key, each.commit) for each in sent] == [("models/chat/1/rolledBack", "4f2c1e9")]
    assert "alerts.jsonl" in kube.objects(ROLLOUT_HISTORY)[PLACE, "chat"]["data"]
    assert await _tell(kube, plan, owner, happened) == []


async def _tell(kube: MemoryKube, plan: ModelCanary, owner: dict[str, Any], now: float) -> list[Any]:
    """A leader's desk that hears of a rollback; answers what its channel got."""
    store = StatusStore(kube, Cache(MODEL_CANARY), PLACE, now=SystemClock().now)
    desk = await AlertDispatchers(kube, clock=SystemClock()).open(plan, store, owner, lambda _sentence: None)
    [mailbox] = desk.mailboxes
    sent: list[Any] = []

    async def send(alert: Any) -> None:
        sent.append(alert)

    mailbox.channel.send = send  # type: ignore[method-assign]  # the wire is not what this is about
    back: dict[str, Any] = {
        "phase": Phase.ROLLING_BACK,
        "revision": revision(plan),
        "reason": Reason.GATE_FAILED,
        "at": now,
        "evidence": {"gate": "x"},
    }
    await desk.tell(an_event(1, **back))
    ended = {"result": "rolled_back", "decided": now, "zero": now, "harm_began": now}
    await desk.tell(an_event(2, event="end", phase=Phase.ROLLED_BACK, at=now, revision=revision(plan), evidence=ended))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(mailbox.run())
        await mailbox.empty(8.0)
        running.cancel()
    return sent


async def test_a_history_that_cannot_be_read_opens_no_desk_and_says_so() -> None:
    kube = _kube(url="https://hooks.example.com/1")
    alert = {"webhook": {"urlFrom": {"secret": "hook", "key": "url"}}}
    kube.seed(MODEL_CANARY, a_canary(spec=a_spec(alerts=[alert])))
    owner = kube.objects(MODEL_CANARY)[PLACE, NAME]
    plan = read(owner).plan
    assert plan is not None
    kube.down = True
    store = StatusStore(kube, Cache(MODEL_CANARY), PLACE, now=SystemClock().now)
    with pytest.raises(Unavailable):
        await AlertDispatchers(kube, clock=SystemClock()).open(plan, store, owner, lambda _sentence: None)


async def test_s14_a_secret_that_nobody_gave_for_alerts_is_not_sent_to_whom_a_plan_names() -> None:
    """The password of a database as the token of a webhook: the ModelCanary says what would be needed, and of whom."""
    kube = _kube(url="https://hooks.example.com/1")
    password = base64.b64encode(b"DBPASSWORD").decode()
    kube.seed(SECRET, {"metadata": {"name": "db", "namespace": PLACE}, "data": {"password": password}})
    hook = {"urlFrom": {"secret": "hook", "key": "url"}, "tokenFrom": {"secret": "db", "key": "password"}}
    kube.seed(MODEL_CANARY, a_canary(spec=a_spec(alerts=[{"webhook": hook}])))
    owner = kube.objects(MODEL_CANARY)[PLACE, NAME]
    plan = read(owner).plan
    assert plan is not None
    warned: list[str] = []
    desks = AlertDispatchers(kube, clock=SystemClock(), warn=lambda _owner, sentence: warned.append(sentence))
    store = StatusStore(kube, Cache(MODEL_CANARY), PLACE, now=SystemClock().now)
    desk = await desks.open(plan, store, owner, lambda _sentence: None)
    (sentence,) = warned
    assert "Secret models/db does not allow to be read for alerts" in sentence
    assert "kubectl annotate secret db -n models serinus.dev/allow=alerts" in sentence
    assert "alerts.secrets" in sentence
    with pytest.raises(Missing, match="does not allow"):
        await desk.mailboxes[0].channel.send(ROLLED_BACK)
