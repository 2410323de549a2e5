"""PagerDutyChannel's Events v2, field by field: trigger and resolve by one key."""

from dataclasses import replace

from controlplane.adapters.dial_policy import Reach
from controlplane.alerts.channels.pagerduty import ADDRESSES, PagerDutyChannel, message
from controlplane.alerts.post import Post
from tests.controlplane.alerts.receivers import Receiver
from tests.controlplane.alerts.samples import BLIND, ROLLED_BACK, SEES_AGAIN, Given, ref


def test_a_trigger_has_everything_that_an_incident_shows() -> None:
    assert message(ROLLED_BACK) == {
        "dedup_key": "support-llm/3/rolledBack",
        "payload": {
            "summary": f"support-llm was rolled back: {ROLLED_BACK.sentence}",
            "source": "serinus",
            "severity": "critical",
            "timestamp": "2023-11-14T22:13:20Z",
            "component": "support-llm",
            "class": "rolledBack",
            "custom_details": {
                "Gate": "error_rate <= 5%",
                "Canary": "15.6 % (3,200 samples)",
                "Limit": "5 %",
                "Next": list(ROLLED_BACK.commands),
            },
        },
        "client": "Serinus",
        "client_url": ROLLED_BACK.link,
        "links": [{"href": ROLLED_BACK.link, "text": "The rollout"}],
    }
    assert "links" not in message(replace(ROLLED_BACK, link=""))


async def test_an_incident_is_triggered_and_resolved_by_its_key() -> None:
    async with Receiver() as server:
        server.answers = [202, 202]
        channel = PagerDutyChannel(ref("key"), Given(key="R123"), Post(Reach()), address=server.url("/v2/enqueue"))
        await channel.send(BLIND)
        await channel.resolve(SEES_AGAIN)
    trigger, resolve = (got.json for got in server.got)
    assert {got.path for got in server.got} == {"/v2/enqueue"}
    assert trigger == {"routing_key": "R123", "event_action": "trigger", **message(BLIND)}
    assert resolve == {"routing_key": "R123", "event_action": "resolve", "dedup_key": BLIND.key}


def test_a_long_key_fits() -> None:
    assert len(message(replace(ROLLED_BACK, key="k" * 400))["dedup_key"]) == 255


def test_both_regions_have_an_address_of_pagerduty() -> None:
    assert all(address.startswith("https://events.") for address in ADDRESSES.values())
