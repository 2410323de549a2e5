"""Texts from outside cannot command a terminal."""

import pytest

from controlplane.view.text import clean


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain – ünïcode 漢字", "plain – ünïcode 漢字"),
        ("red \x1b[31mtext\x1b[0m", "red text"),
        ("title \x1b]0;owned\x07 set", "title  set"),
        ("title \x1b]8;;http://evil\x1b\\link", "title link"),
        ("an unfinished \x1b[", "an unfinished"),
        ("two\nlines\r\nand\ttabs", "two lines and tabs"),
        ("bell \x07 back \x08 null \x00", "bell  back  null"),
        ("c1 \x9b31m csi", "c1 31m csi"),
        ("turned \u202e around \u2066", "turned  around"),
        ("\x1b\x1b[31m[31m", "[31m[31m"),
    ],
)
def test_a_text_from_outside_cannot_command_a_terminal(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
    assert "\x1b" not in clean(text)
