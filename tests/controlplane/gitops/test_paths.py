"""Which paths are read, and which never are."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import BadInput
from controlplane.gitops.paths import LONGEST_PATH, LONGEST_PATTERN, MOST_DEEP, MOST_FOLDERS, Pattern, why_refused


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("apps/*/canary.yml", "apps/chat/canary.yml", True),
        ("apps/*/canary.yml", "apps/a/b/canary.yml", False),
        ("apps/*/canary.yml", "apps//canary.yml", True),
        ("**/canary.yml", "canary.yml", True),
        ("**/canary.yml", "a/b/canary.yml", True),
        ("**/*.yml", "a/b.yml", True),
        ("canary.yml", "acanary.yml", False),
        ("a?.yml", "ab.yml", True),
        ("a?.yml", "a/.yml", False),
        ("a+(b).yml", "a+(b).yml", True),
        ("*.yml", "x\n.yml", True),
    ],
)
def test_a_star_stays_in_its_folder_and_two_cross_folders(pattern: str, path: str, expected: bool) -> None:
    assert Pattern(pattern).matches(path) is expected


@cache
def slowly(pattern: str, path: str) -> bool:
    """The same by its definition, trying everything: exponential in general."""
    if not pattern:
        return not path
    if pattern.startswith("**/"):
        folder, slash, rest = path.partition("/")
        return slowly(pattern[3:], path) or bool(folder and slash and slowly(pattern, rest))
    if pattern.startswith("**"):
        return slowly(pattern[2:], path) or (bool(path) and slowly(pattern, path[1:]))
    if pattern[0] == "*":
        return slowly(pattern[1:], path) or (bool(path) and path[0] != "/" and slowly(pattern, path[1:]))
    return (
        bool(path)
        and (path[0] == pattern[0] or (pattern[0] == "?" != path[0] != "/"))
        and slowly(pattern[1:], path[1:])
    )


def usable(text: str) -> bool:
    try:
        Pattern(text)
    except BadInput:
        return False
    return True


PATTERNS = st.lists(st.sampled_from(["**/", "**", "*", "?", "a", "b", "/"]), max_size=9).map("".join).filter(usable)
PATHS = st.lists(st.text("ab/c", max_size=12), max_size=6)


@given(st.lists(PATTERNS, min_size=1, max_size=3), PATHS)
def test_s2_what_matches_is_what_the_definition_says(patterns: list[str], paths: list[str]) -> None:
    """Also for several patterns at once, and whatever other paths were looked at before."""
    together = Pattern(*patterns)
    for path in paths:
        assert together.matches(path) is any(slowly(each, path) for each in patterns)


@pytest.mark.parametrize(
    "text", ["**a**a**a*a*a*a*z*", "a*" * 200, "?" * 400 + "*", "**/*/" * MOST_DEEP + "*/" * 20 + "*"]
)
def test_s2_matching_costs_a_step_a_letter_whatever_the_pattern(text: str) -> None:
    """A path that nearly matches, which is where one that tries again would try for ever."""
    paths = ["a" * (LONGEST_PATH - 1) + "b", "a/" * (LONGEST_PATH // 2 - 1) + "ab", "a" * 60]
    pattern = Pattern(text)
    for path in paths:
        pattern.matches(path)
    assert pattern.steps <= sum(map(len, paths))


def test_s2_a_folder_is_looked_at_once_for_all_its_files() -> None:
    pattern = Pattern("**/*.yml")
    for number in range(1000):
        pattern.matches(f"a/long/way/down/to/the/files/{number:03}.yml")
    assert pattern.steps == len("a/long/way/down/to/the/files/") + 1000 * len("000.yml")
    for number in range(3 * MOST_FOLDERS):
        pattern.matches(f"{number}/x/a.yml")
    assert len(pattern._folders) <= MOST_FOLDERS


@pytest.mark.parametrize("text", ["a" * (LONGEST_PATTERN + 1), "**/a" * (MOST_DEEP + 1)])
def test_s2_a_pattern_is_bounded(text: str) -> None:
    with pytest.raises(BadInput, match="too much of a pattern"):
        Pattern(text)


def test_s2_a_path_that_is_too_long_is_named_and_costs_nothing() -> None:
    pattern, path = Pattern("**/canary.yml"), "a/" * LONGEST_PATH + "canary.yml"
    assert pattern.matches(path)
    assert pattern.steps == 0
    assert why_refused(path, "100644", "blob") == "has more than 1024 characters in its name"


@pytest.mark.parametrize("text", ["", "/etc/*", "../x", "a/../b", "--all", "a//b", "a\nb"])
def test_a_pattern_that_could_leave_the_repository_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="no pattern"):
        Pattern(text)


@pytest.mark.parametrize(
    ("path", "mode", "kind", "why"),
    [
        ("a", "120000", "blob", "symbolic link"),
        ("a", "160000", "commit", "submodule"),
        ("a", "100755", "blob", "program"),
        ("a", "100664", "blob", "no ordinary file"),
        ("a/../b", "100644", "blob", "another place"),
        ("/a", "100644", "blob", "another place"),
        ("-f/a", "100644", "blob", "an option"),
        (".git/config", "100644", "blob", "its own to git"),
        ("a/.GIT/x", "100644", "blob", "its own to git"),
        ("git~1/x", "100644", "blob", "its own to git"),
        (".g\u200cit", "100644", "blob", ""),
        (".git\u200c/x", "100644", "blob", "its own to git"),
        ("con.yml", "100644", "blob", "Windows"),
        ("a. /x", "100644", "blob", "Windows"),
        ("a\\b", "100644", "blob", "another place"),
        ("c:/x", "100644", "blob", "another place"),
        ("a\nb", "100644", "blob", "control character"),
        ("a\x1b[31m", "100644", "blob", "control character"),
        ("a\udcff", "100644", "blob", "not UTF-8"),
        ("apps/chat/canary.yml", "100644", "blob", ""),
        ("äpfel/canary.yml", "100644", "blob", ""),
    ],
)
def test_s1_what_could_steer_a_file_system_a_shell_or_a_terminal_is_refused(
    path: str, mode: str, kind: str, why: str
) -> None:
    found = why_refused(path, mode, kind)
    assert why in found
    assert bool(found) is bool(why)
