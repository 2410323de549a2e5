"""Slack's blocks, field by field, and texts that try to be obeyed (S6)."""

from dataclasses import replace

from canary.alert_facts import Fact
from controlplane.adapters.dial_policy import Reach
from controlplane.alerts.channels.slack import SlackChannel, message
from controlplane.alerts.post import Post
from tests.controlplane.alerts.receivers import Receiver
from tests.controlplane.alerts.samples import ROLLED_BACK, SEES_AGAIN, Given, hostile, ref, strings


def test_a_fact_is_a_headline_a_sentence_numbers_commands_and_a_link() -> None:
    sent = message(ROLLED_BACK)
    header, sentence, facts, commands, link = sent["blocks"]
    assert header == {
        "type": "header",
        "text": {"type": "plain_text", "text": "🔴 support-llm was rolled back", "emoji": False},
    }
    assert sentence["text"]["text"] == ROLLED_BACK.sentence
    assert [field["text"] for field in facts["fields"]] == [
        "*Gate*",
        "error_rate &lt;= 5%",
        "*Canary*",
        "15.6 % (3,200 samples)",
        "*Limit*",
        "5 %",
    ]
    assert commands["elements"][0]["text"] == "Next: serinus history support-llm  ·  serinus status support-llm"
    assert link["elements"][0]["url"] == ROLLED_BACK.link
    assert sent["text"] == f"🔴 support-llm was rolled back: {ROLLED_BACK.sentence}"
    assert sent["mrkdwn"] is False


def test_an_end_is_green_and_short() -> None:
    sent = message(replace(SEES_AGAIN, link=""))
    assert sent["text"].startswith("✅ Over: support-llm is blind")
    assert [block["type"] for block in sent["blocks"]] == ["header", "section", "section"]


def test_many_facts_stand_in_several_sections() -> None:
    """Slack refuses a section with more than ten fields."""
    many = replace(ROLLED_BACK, facts=tuple(Fact(f"f{each}", "x") for each in range(12)))
    sections = [block["fields"] for block in message(many)["blocks"] if "fields" in block]
    assert [len(fields) for fields in sections] == [10, 10, 4]


def test_s6_nothing_from_outside_mentions_links_or_formats() -> None:
    sent = message(hostile())
    assert not [text for text in strings(sent) if "<" in text or ">" in text]
    formatted = [
        element
        for block in sent["blocks"]
        for element in (block.get("text"), *block.get("fields", ()), *block.get("elements", ()))
        if element and element["type"] == "mrkdwn"
    ]
    assert [element["text"] for element in formatted] == ["*Canary*"]


def test_texts_fit_whatever_they_are_made_of() -> None:
    sent = message(replace(ROLLED_BACK, rollout="<" * 400, sentence="&" * 1000))
    assert len(sent["blocks"][0]["text"]["text"]) <= 150
    assert len(sent["blocks"][1]["text"]["text"]) <= 3000
    assert len(sent["text"]) <= 3000


async def test_the_webhook_gets_json_and_the_channel() -> None:
    async with Receiver() as server:
        secrets = Given(url=server.url("/services/T/B/x"))
        await SlackChannel(ref("url"), secrets, Post(Reach()), channel="#ml-releases").send(ROLLED_BACK)
        await SlackChannel(ref("url"), secrets, Post(Reach())).send(ROLLED_BACK)
    with_channel, without = server.got
    assert (with_channel.method, with_channel.path) == ("POST", "/services/T/B/x")
    assert with_channel.headers["content-type"] == "application/json"
    assert with_channel.json == {"channel": "#ml-releases", **message(ROLLED_BACK)}
    assert "channel" not in without.json
