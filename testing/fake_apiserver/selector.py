"""Label selectors: `app=chat`, `tier!=test`, `rollout`, `!rollout`, `app in (a, b)`, `app notin (a)`. Pure.

Used by `log.py`; a real server reads selectors itself.
"""

import re
from collections.abc import Mapping

_TERM = re.compile(
    r"\s*(?P<absent>!)?(?P<key>[\w./-]+)\s*(?:(?P<sign>==|=|!=)\s*(?P<value>[\w.-]*)|(?P<word>in|notin)\s*\((?P<set>[^)]*)\))?\s*(?:,|$)"
)


def matches(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether these labels satisfy every term; none satisfies all. Raises ValueError where it cannot be read."""
    at = 0
    while at < len(selector):
        term = _TERM.match(selector, at)
        if term is None:
            raise ValueError(f"unable to parse the label selector {selector!r} at {selector[at:]!r}")
        if not _holds(term, labels):
            return False
        at = term.end()
    return True


def _holds(term: re.Match[str], labels: Mapping[str, str]) -> bool:
    value = labels.get(term["key"])
    if term["absent"]:
        return value is None
    # A label that is missing is not equal to anything: `!=` and `notin` hold.
    if term["sign"]:
        return (value == term["value"]) == (term["sign"] != "!=")
    if term["word"]:
        return (value in {each.strip() for each in term["set"].split(",")}) == (term["word"] == "in")
    return value is not None
