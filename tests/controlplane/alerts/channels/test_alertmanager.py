"""Alertmanager's API v2, field by field: labels that stay the same, and ends."""

from dataclasses import replace

from controlplane.adapters.dial_policy import Reach
from controlplane.alerts.channels.alertmanager import AlertmanagerChannel, message
from controlplane.alerts.post import Post
from tests.controlplane.alerts.receivers import Receiver
from tests.controlplane.alerts.samples import BLIND, ROLLED_BACK, SEES_AGAIN, Given, ref


def test_an_alert_has_labels_and_annotations() -> None:
    assert message(ROLLED_BACK) == {
        "labels": {
            "alertname": "SerinusRolledBack",
            "rollout": "support-llm",
            "attempt": "3",
            "severity": "critical",
        },
        "annotations": {
            "summary": "support-llm was rolled back",
            "description": ROLLED_BACK.sentence,
            "numbers": "Gate: error_rate <= 5%\nCanary: 15.6 % (3,200 samples)\nLimit: 5 %",
            "next": "serinus history support-llm\nserinus status support-llm",
        },
        "startsAt": "2023-11-14T22:13:20Z",
        "generatorURL": ROLLED_BACK.link,
    }
    assert "generatorURL" not in message(replace(ROLLED_BACK, link=""))


async def test_what_stands_has_no_end_until_it_ends() -> None:
    async with Receiver() as server:
        secrets = Given(url=server.url("/prefix/"), token="T")
        channel = AlertmanagerChannel(
            ref("url"), secrets, Post(Reach()), now=lambda: 1_700_000_100.0, token=ref("token")
        )
        await channel.send(BLIND)
        await channel.resolve(SEES_AGAIN)
        await channel.send(ROLLED_BACK)
    firing, over, once = (got.json for got in server.got)
    assert {got.path for got in server.got} == {"/prefix/api/v2/alerts"}
    assert server.got[0].headers["authorization"] == "Bearer T"
    assert "endsAt" not in firing[0]
    assert over[0]["endsAt"] == "2023-11-14T22:14:21.500Z"
    assert over[0]["labels"] == firing[0]["labels"]
    assert over[0]["startsAt"] == message(replace(BLIND, began=SEES_AGAIN.began))["startsAt"]
    assert once[0]["endsAt"] == "2023-11-14T23:15:00Z"
