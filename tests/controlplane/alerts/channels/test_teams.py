"""The Adaptive Card, field by field; texts stand where Teams reads no Markdown (S6)."""

from dataclasses import replace

from controlplane.alerts.channels.teams import message
from tests.controlplane.alerts.samples import HOSTILE, ROLLED_BACK, SEES_AGAIN, hostile


def test_a_fact_is_one_card() -> None:
    sent = message(ROLLED_BACK)
    (attachment,) = sent["attachments"]
    card = attachment["content"]
    assert sent["type"] == "message"
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert attachment["contentUrl"] is None
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    title, sentence, gate, *_, status = card["body"]
    assert title["inlines"][0]["text"] == "support-llm was rolled back"
    assert title["inlines"][0]["color"] == "Attention"
    assert sentence["inlines"][0]["text"] == ROLLED_BACK.sentence
    assert [column["items"][0]["inlines"][0]["text"] for column in gate["columns"]] == ["Gate", "error_rate <= 5%"]
    assert status["inlines"][0] == {"type": "TextRun", "text": ROLLED_BACK.commands[1], "fontType": "Monospace"}
    assert card["actions"] == [{"type": "Action.OpenUrl", "title": "Open the rollout", "url": ROLLED_BACK.link}]


def test_an_end_is_green_and_without_a_link_there_is_no_button() -> None:
    card = message(replace(SEES_AGAIN, link=""))["attachments"][0]["content"]
    assert card["body"][0]["inlines"][0]["color"] == "Good"
    assert "actions" not in card


def test_s6_texts_stand_only_where_no_markdown_is_read() -> None:
    card = message(hostile())["attachments"][0]["content"]
    elements = [*card["body"], *(item for each in card["body"] for c in each.get("columns", ()) for item in c["items"])]
    assert {element["type"] for element in elements} == {"RichTextBlock", "ColumnSet"}
    assert card["body"][1]["inlines"][0]["text"] == HOSTILE
