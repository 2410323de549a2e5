"""Texts fit and stay texts, however they were meant."""

from hypothesis import given
from hypothesis import strategies as st

from controlplane.alerts import escape


@given(st.text(max_size=300), st.integers(min_value=1, max_value=120))
def test_s6_what_slack_gets_has_no_control_character_and_fits(text: str, longest: int) -> None:
    escaped = escape.slack(text, longest)
    assert len(escaped) <= longest
    assert "<" not in escaped
    assert ">" not in escaped
    for rest in escaped.split("&")[1:]:
        assert rest.startswith(("amp;", "lt;", "gt;"))  # no escape is cut in two


@given(st.text(max_size=300), st.integers(min_value=2, max_value=120))
def test_s6_what_discord_gets_has_every_mark_escaped_and_fits(text: str, longest: int) -> None:
    escaped = escape.markdown(text, longest)
    assert len(escaped) <= longest
    left = escaped.replace("\\\\", "")
    assert not [index for index, letter in enumerate(left) if letter in "`*_~|[]()<>#" and left[index - 1] != "\\"]


@given(st.text(max_size=300))
def test_a_text_that_fits_is_only_escaped(text: str) -> None:
    assert escape.plain(text, 300) == text
    assert escape.slack(text, 5 * 300).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == text


def test_a_text_that_is_cut_says_so() -> None:
    assert escape.plain("abcdef", 4) == "abc…"
    assert escape.slack("&&&&", 11) == "&amp;&amp;…"
