"""Text from outside made harmless: names and messages on one line, without what commands a terminal.

Used by every view and command that shows what somebody else wrote. Numbers are formatted by `canary.format`.
"""

import re

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def clean(text: str) -> str:
    """A text from outside on one line: no escape sequences, control characters or changes of writing direction."""
    if text.isprintable():  # most texts are, and pages that are drawn every second have hundreds of them
        return text.strip()
    return re.sub(r"[\r\n\t]+", " ", _CONTROLS.sub("", _ESCAPES.sub("", text))).strip()
