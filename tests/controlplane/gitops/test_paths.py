"""Which paths are read, and which never are."""

import pytest

from canary.errors import BadInput
from controlplane.gitops.paths import Pattern, why_refused


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
