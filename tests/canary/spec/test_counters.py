"""Counters that gates name themselves: which selectors are taken, and what is said of everything else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.spec.counters import LONGEST, counter
from canary.spec.units import UnreadableNumber

NAMES = st.from_regex(r"[a-z_:][a-z0-9_:]{0,20}", fullmatch=True).filter(lambda name: not name.endswith("_bucket"))
LABELS = st.from_regex(r"[a-z_][a-z0-9_]{0,10}", fullmatch=True)
STRINGS = st.text(st.characters(blacklist_categories=["Cc", "Cs"]), max_size=20).map(
    lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
)
MATCHERS = st.lists(st.tuples(LABELS, st.sampled_from(["=", "!=", "=~", "!~"]), STRINGS), max_size=4)


@given(NAMES, MATCHERS)
def test_every_plain_selector_is_taken_as_it_stands(name: str, matchers: list[tuple[str, str, str]]) -> None:
    """Whatever stands in its strings: brackets and names of functions among them."""
    text = f"{name}{{{','.join(map(''.join, matchers))}}}"
    assert counter(f" {text} ") == text


@given(NAMES, MATCHERS, st.sampled_from([" offset 5m", "[5m]", " / b", ") or (b", " @ 0", "} or b{", '{a="b"']))
def test_nothing_that_is_more_than_a_selector_is_taken(
    name: str, matchers: list[tuple[str, str, str]], more: str
) -> None:
    """It is put into a larger query, whose meaning it must not change."""
    with pytest.raises(UnreadableNumber):
        counter(f"{name}{{{','.join(map(''.join, matchers))}}}{more}")


@pytest.mark.parametrize("text", ["orders_total", '{"bot.orders", shop="eu"}', '{__name__="orders"}', "a:b{c='d',}"])
def test_a_selector_names_its_metric(text: str) -> None:
    assert counter(text) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rate(orders_total[5m])", r"rate\(\) has lost .*; write orders_total$"),
        ('sum by (variant) (increase(orders_total{shop="eu"}[$window]))', 'write orders_total{shop="eu"}$'),
        ("sum by (variant) (increase(a_total[4h])) / sum by (variant) (increase(b_total[4h]))", "write a_total$"),
        ("sum without (pod) (orders_total)", r"sum\(\) hides restarts .* write orders_total$"),
        ("orders_total / sessions_total", "events and of are two counters"),
        ("orders_total[5m]", "without range, offset and @"),
        ('{shop="eu"}', "expected a counter such as"),
        ("", "expected a counter such as"),
        ("seconds_bucket", 'events: seconds_bucket{le="30"}, of: seconds_count'),
        ("a" * (LONGEST + 1), "at most 1,000 characters"),
    ],
)
def test_everything_else_is_refused_with_what_to_write(text: str, words: str) -> None:
    with pytest.raises(UnreadableNumber, match=words):
        counter(text)


def test_one_bucket_of_a_histogram_is_a_counter() -> None:
    assert counter('seconds_bucket{le="30"}') == 'seconds_bucket{le="30"}'
