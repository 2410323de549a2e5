"""Discord's embed, field by field; nobody is mentioned and no Markdown from outside counts (S6)."""

from dataclasses import replace

from controlplane.alerts.channels.discord import message
from tests.controlplane.alerts.samples import ROLLED_BACK, SEES_AGAIN, hostile


def test_a_fact_is_one_embed() -> None:
    sent = message(ROLLED_BACK)
    (embed,) = sent["embeds"]
    assert sent["allowed_mentions"] == {"parse": []}
    assert embed["title"] == "support-llm was rolled back"
    assert embed["color"] == 0xD92D20
    assert embed["timestamp"] == "2023-11-14T22:13:21.500Z"
    assert embed["url"] == ROLLED_BACK.link
    assert embed["fields"][0] == {"name": "Gate", "value": r"error\_rate \<= 5%", "inline": True}
    commands = "```\nserinus history support-llm\nserinus status support-llm\n```"
    assert embed["fields"][-1] == {"name": "Next", "value": commands, "inline": False}


def test_an_end_is_green() -> None:
    assert message(SEES_AGAIN)["embeds"][0]["color"] == 0x12B76A
    assert "url" not in message(replace(SEES_AGAIN, link=""))["embeds"][0]


def test_s6_markdown_from_outside_stays_letters() -> None:
    embed = message(hostile())["embeds"][0]
    for text in (embed["description"], embed["fields"][0]["value"]):
        assert r"\*\*bold\*\*" in text
        assert r"\[x\]\(https" in text
        assert r"\<!channel\>" in text
        assert r"\`code\`" in text
    assert embed["fields"][-1]["value"].count("```") == 2
