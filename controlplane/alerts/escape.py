"""Texts from outside as each wire format wants them, so that they are read and never obeyed. Used by the channels.

Control characters and line ends are gone already (`canary/alert_facts.py`). Lengths are those that receivers accept.
"""

import re
from collections.abc import Callable

_MARKDOWN = re.compile(r"([\\`*_~|\[\]()<>#])")


def slack(text: str, longest: int) -> str:
    """For any text of Slack's blocks: `<!channel>` and links become letters."""
    return fitted(text, longest, lambda cut: cut.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def markdown(text: str, longest: int) -> str:
    """For Markdown as Discord reads it."""
    return fitted(text, longest, lambda cut: _MARKDOWN.sub(r"\\\1", cut))


def plain(text: str, longest: int) -> str:
    """For formats that take text as it is."""
    return fitted(text, longest, lambda cut: cut)


def fitted(text: str, longest: int, escape: Callable[[str], str]) -> str:
    """The escaped text, cut (before it is escaped, so that no escape is halved) until it fits."""
    if len(whole := escape(text)) <= longest:
        return whole
    kept = longest - 1
    while kept and len(escape(text[:kept])) >= longest:
        kept -= 1
    return f"{escape(text[:kept])}…"
