"""CloudEvents and templates, and the signature of Standard Webhooks."""

import base64
import hashlib
import hmac
import json

import pytest
from pydantic import SecretStr

from canary.alert import AlertNotice, text
from canary.spec.alerts import TEMPLATE_FIELDS
from controlplane.adapters.dial_policy import Reach
from controlplane.alerts.channel import DeliveryRejected
from controlplane.alerts.channels.webhook import WebhookChannel, event, filled, signature
from controlplane.alerts.post import Post
from tests.controlplane.alerts.receivers import Receiver
from tests.controlplane.alerts.samples import BLIND, HOSTILE, ROLLED_BACK, SEES_AGAIN, Given, hostile, ref


def test_an_alert_is_a_cloudevent() -> None:
    sent = event(ROLLED_BACK)
    assert {name: value for name, value in sent.items() if name != "data"} == {
        "specversion": "1.0",
        "id": "support-llm/3/20/rolledBack",
        "source": "/serinus",
        "type": "dev.serinus.alert.rolledBack.firing",
        "subject": "support-llm",
        "time": "2023-11-14T22:13:21.500Z",
        "datacontenttype": "application/json",
    }
    assert sent["data"] == {
        "id": "support-llm/3/20/rolledBack",
        "key": "support-llm/3/rolledBack",
        "kind": "rolledBack",
        "severity": "critical",
        "state": "firing",
        "rollout": "support-llm",
        "attempt": 3,
        "revision": "9f2c",
        "began": "2023-11-14T22:13:20Z",
        "at": "2023-11-14T22:13:21.500Z",
        "sentence": ROLLED_BACK.sentence,
        "title": "support-llm was rolled back",
        "facts": {"Gate": "error_rate <= 5%", "Canary": "15.6 % (3,200 samples)", "Limit": "5 %"},
        "commands": ROLLED_BACK.commands,
        "commit": "",
        "link": ROLLED_BACK.link,
        "standing": False,
    }
    assert event(SEES_AGAIN)["type"] == "dev.serinus.alert.blind.resolved"


async def test_what_is_sent_is_signed_with_its_id_and_time() -> None:
    """As the Standard Webhooks libraries check it: base64 key, `id.timestamp.body`, HMAC-SHA256."""
    raw = b"0123456789abcdef01234567"
    secrets = Given(key=f"whsec_{base64.b64encode(raw).decode()}", token="T")
    async with Receiver() as server:
        secrets.values["url"] = server.url()
        channel = WebhookChannel(
            ref("url"), secrets, Post(Reach()), now=lambda: 1_700_000_005.9, signing_key=ref("key"), token=ref("token")
        )
        await channel.send(BLIND)
    (got,) = server.got
    assert got.headers["content-type"] == "application/cloudevents+json"
    assert got.headers["authorization"] == "Bearer T"
    assert got.headers["webhook-id"] == BLIND.id
    assert got.headers["webhook-timestamp"] == "1700000005"
    content = f"{BLIND.id}.1700000005.".encode() + got.body
    expected = base64.b64encode(hmac.new(raw, content, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == f"v1,{expected}"
    assert got.json["id"] == BLIND.id


async def test_without_a_key_nothing_is_signed() -> None:
    async with Receiver() as server:
        await WebhookChannel(ref("url"), Given(url=server.url()), Post(Reach()), now=lambda: 5.0).send(BLIND)
    assert not {"webhook-signature", "authorization"} & set(server.got[0].headers)


def test_a_key_without_a_prefix_is_taken_as_it_is() -> None:
    expected = base64.b64encode(hmac.new(b"plain", b"i.5.x", hashlib.sha256).digest()).decode()
    assert signature(SecretStr("plain"), "i", "5", b"x") == f"v1,{expected}"


def test_a_key_that_only_looks_like_base64_is_refused_and_not_shown() -> None:
    with pytest.raises(DeliveryRejected, match="is not base64") as caught:
        signature(SecretStr("whsec_%%MARKER%%"), "i", "5", b"x")
    assert "MARKER" not in str(caught.value)


@pytest.mark.parametrize("alert", [ROLLED_BACK, hostile()])
def test_s6_a_template_stays_json_whatever_it_is_filled_with(alert: AlertNotice) -> None:
    template = json.dumps({name: f"${name}" for name in TEMPLATE_FIELDS} | {"cost": "$$5", "both": "${key}/$state"})
    sent = json.loads(filled(template, alert))
    assert sent["sentence"] == alert.sentence
    assert sent["text"] == text(alert)
    assert sent["severity"] == "critical"
    assert sent["at"] == "2023-11-14T22:13:21.500Z"
    assert sent["cost"] == "$5"
    assert sent["both"] == f"{alert.key}/firing"


async def test_a_template_takes_the_place_of_the_event() -> None:
    async with Receiver() as server:
        channel = WebhookChannel(
            ref("url"), Given(url=server.url()), Post(Reach()), now=lambda: 5.0, template='{"text": "$sentence"}'
        )
        await channel.send(hostile())
    assert server.got[0].headers["content-type"] == "application/json"
    assert server.got[0].json == {"text": HOSTILE}
