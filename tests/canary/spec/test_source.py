"""Places in a text, and what is shown of them."""

import pytest

from canary.spec.source import Place, Source, columns_of, excerpt, printable, quoted


@pytest.mark.parametrize("text", ["one\ntwo\nthree\n", "one\r\ntwo\r\nthree", "one\rtwo\rthree"])
def test_lines_and_columns_count_from_one_whatever_ends_a_line(text: str) -> None:
    """Unix, Windows and old Macintosh line ends are each one end."""
    place = Place(Source("x.yml", text), text.index("two") + 1)
    assert (place.line, place.column) == (2, 2)


def test_an_excerpt_shows_the_line_between_its_neighbours_with_a_caret() -> None:
    source = Source("x.yml", "first\nsecond: value\nthird\nfourth\n")
    assert excerpt(Place(source, source.characters.index("value"))) == (
        "  1 | first\n  2 | second: value\n    |         ^\n  3 | third"
    )


def test_an_excerpt_at_the_end_of_the_file_has_no_empty_lines() -> None:
    source = Source("x.yml", "only")
    assert excerpt(Place(source, 0)) == "  1 | only\n    | ^"


def test_a_very_long_line_is_cut_around_its_column() -> None:
    """An excerpt fits on a screen, and the caret still stands under the character it is about."""
    source = Source("x.yml", "a" * 5000 + "B" + "c" * 5000)
    shown, caret = excerpt(Place(source, 5000)).splitlines()
    assert len(shown) < 120
    assert shown[caret.index("^")] == "B"


def test_the_caret_stands_right_after_wide_characters() -> None:
    """East Asian characters take two columns of a terminal, combining ones none."""
    assert columns_of("名前") == 4
    assert columns_of("e\N{COMBINING ACUTE ACCENT}") == 1


def test_nothing_in_an_excerpt_can_steer_a_terminal() -> None:
    hostile = "name: \x1b[2J\N{RIGHT-TO-LEFT OVERRIDE}x\tend"
    shown = excerpt(Place(Source("x.yml", hostile), 0))
    assert "\x1b" not in shown
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in shown
    assert printable("a\tb\x1b") == "a b\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "nothing"),
        (True, "true"),
        (3, "3"),
        ("abc", '"abc"'),
        ("x" * 500, '"' + "x" * 60 + '…"'),
        ([1], "a list"),
        ({"a": 1}, "a mapping"),
    ],
)
def test_values_are_quoted_shortly(value: object, shown: str) -> None:
    assert quoted(value) == shown
