"""Opsgenie's Alert API v2, field by field: create and close by one alias."""

from controlplane.adapters.dial_policy import Reach
from controlplane.alerts.channels.opsgenie import OpsgenieChannel, message
from controlplane.alerts.post import Post
from tests.controlplane.alerts.receivers import Receiver
from tests.controlplane.alerts.samples import BLIND, ROLLED_BACK, SEES_AGAIN, Given, ref


def test_an_alert_has_everything_that_a_team_needs() -> None:
    sent = message(ROLLED_BACK)
    description = sent.pop("description")
    assert description.splitlines() == [
        ROLLED_BACK.sentence,
        "Next: serinus history support-llm",
        "Next: serinus status support-llm",
        ROLLED_BACK.link,
    ]
    assert sent == {
        "message": "support-llm was rolled back",
        "alias": "support-llm/3/rolledBack",
        "priority": "P1",
        "source": "serinus",
        "entity": "support-llm",
        "tags": ["serinus", "rolledBack"],
        "details": {"Gate": "error_rate <= 5%", "Canary": "15.6 % (3,200 samples)", "Limit": "5 %"},
    }


async def test_an_alert_is_created_and_closed_by_its_alias() -> None:
    async with Receiver() as server:
        server.answers = [202, 202]
        channel = OpsgenieChannel(ref("key"), Given(key="G-1"), Post(Reach()), address=server.url(""))
        await channel.send(BLIND)
        await channel.resolve(SEES_AGAIN)
    create, close = server.got
    assert create.headers["authorization"] == close.headers["authorization"] == "GenieKey G-1"
    assert (create.path, create.json["alias"]) == ("/v2/alerts", BLIND.key)
    assert close.path == "/v2/alerts/support-llm%2F3%2Fblind/close?identifierType=alias"
    assert close.json == {"source": "serinus", "user": "serinus", "note": "The metric source is back."}
