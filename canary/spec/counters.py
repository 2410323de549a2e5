"""Counters that a gate names itself (`events`, `of`): which PromQL stands for one, and what to write instead of others.

Called by `gates.py`. A counter is a plain selector, `name{label="value"}`: the judge needs the running totals of each
series, since a rate or a sum has lost the restarts of its parts and how much lies behind it. Asks nothing.
"""

import re

from canary.spec.source import quoted
from canary.spec.units import UnreadableNumber

LONGEST = 1000
"""Characters of one selector."""
LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STRING = r'"(?:[^"\\\n]|\\.)*"' + r"|'(?:[^'\\\n]|\\.)*'"
_MATCHER = rf"(?:[A-Za-z_]\w*|{_STRING})\s*(?:=~|!~|!=|=)\s*(?:{_STRING})"
_ITEM = rf"(?:{_MATCHER}|{_STRING})"
_NAME = r"[A-Za-z_:][A-Za-z0-9_:]*"
_SELECTOR = re.compile(rf"(?P<name>{_NAME})?\s*(?P<braces>\{{\s*(?:{_ITEM}\s*(?:,\s*{_ITEM}\s*)*,?\s*)?\}})?", re.ASCII)
_RATE = re.compile(r"\b(rate|irate|increase|delta|idelta|deriv)\s*\(")
_SUM = re.compile(r"\b(sum|avg|min|max|count|topk|bottomk|quantile|group|stddev|stdvar)\b\s*(?:\(|by\b|without\b)")
_RANGE = re.compile(r"\[[^\]]*\]|\boffset\b|@")
_FIRST = re.compile(rf"({_NAME})\s*(?=[{{\[)/]|$)", re.ASCII)


def counter(text: str) -> str:
    """The selector as it is asked. Raises `UnreadableNumber` with what to write for anything else."""
    text = text.strip()
    bare = re.sub(_STRING, '""', text)
    if len(text) > LONGEST:
        raise UnreadableNumber(f"a counter's selector has at most {LONGEST:,} characters, this one {len(text):,}")
    if made := _RATE.search(bare):
        message = f"takes the counter itself; {made[1]}() has lost restarts and numbers of events"
        raise UnreadableNumber(message + _instead(text))
    if made := _SUM.search(bare):
        message = f"takes the counter itself, one series for each process; {made[1]}() hides restarts of its parts"
        raise UnreadableNumber(message + _instead(text))
    found = _SELECTOR.fullmatch(text)
    if found is None or not text or not (found["name"] or _names(found["braces"])):
        more = "; events and of are two counters, each by itself" if "/" in bare else ""
        more = more or ("; it is read as it stands now, without range, offset and @" if _RANGE.search(bare) else "")
        raise UnreadableNumber(
            f'expected a counter such as orders_total{{shop="eu"}}, got {quoted(text)}{more}{_instead(text)}'
        )
    if (found["name"] or "").endswith("_bucket") and not re.search(r"\ble\s*=", found["braces"] or ""):
        message = "counts an observation in each bucket above it; name one bucket and count it of all, as in"
        name = found["name"].removesuffix("_bucket")
        raise UnreadableNumber(
            f'{message} events: {name}_bucket{{le="30"}}, of: {name}_count; a mean is {name}_sum of those'
        )
    return text


def pair(events: str | None, of: str | None, query: str | None, label: str | None, metric: str) -> dict[str, str]:
    """A gate's counters as they are asked, nothing where it has none. Raises `UnreadableNumber` at the key that is
    wrong.

    `label` is the gate's own `variantLabel`, `metric` the name of what it judges.
    """
    if label is not None:
        if query is None and events is None:
            raise UnreadableNumber("only counts with events and of, or with a query", key="variantLabel")
        if not LABEL.fullmatch(label):
            raise UnreadableNumber(f"expected the name of a label, got {quoted(label)}", key="variantLabel")
    if events is None and of is None:
        return {}
    if events is None or of is None:
        have, lack = ("of", "events") if events is None else ("events", "of")
        raise UnreadableNumber(f"{have} and {lack} are a pair of counters; {lack} is missing", key=have)
    if query is not None:
        raise UnreadableNumber("takes the place of events and of; keep one or the other", key="query")
    if not metric.startswith("kpi/"):
        raise UnreadableNumber(f"{metric} is counted already; counters of your own make a kpi/<name>", key="events")
    read: dict[str, str] = {}
    for key, text in (("events", events), ("of", of)):
        try:
            read[key] = counter(text)
        except UnreadableNumber as error:
            raise UnreadableNumber(str(error), key=key) from None
    return read


def _names(braces: str | None) -> bool:
    """Whether braces say which metric is meant: `{"bot.orders"}`, `{__name__="orders"}`."""
    inside = (braces or "")[1:-1]
    return bool(
        re.search(r"\b__name__\s*=\s*[\"']", inside) or re.search(rf"(?:^|,)\s*(?:{_STRING})\s*(?:,|$)", inside)
    )


def _instead(text: str) -> str:
    """`; write orders_total{…}` where the text shows a counter, the last word in brackets before an operator."""
    inner = re.sub(
        r"^.*[(]\s*", "", re.sub(r"\b(?:by|without)\s*\([^)]*\)", " ", text.split("/", maxsplit=1)[0]).rstrip(") ")
    )
    name = _FIRST.match(inner.strip())
    if name is None:
        return ""
    braces = re.match(r"\s*(\{[^}]*\})", inner.strip()[name.end(1) :])
    return f"; write {name[1]}{braces[1] if braces else ''}"
