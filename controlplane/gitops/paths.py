"""Paths in a repository: which ones match a pattern, and which entries are not read whatever they match.

Used by `store.py`. Pure: text in, answers out. A path never reaches a file system here; what is refused is what could
steer one, a shell or a terminal further down.
"""

import re
from functools import cached_property

from canary.errors import BadInput
from canary.spec.source import quoted

_KINDS = {"120000": "is a symbolic link", "160000": "is a submodule"}
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")
_DOT_GIT = re.compile(r"(?i)\.git|git~[0-9]+|\.git[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]+")


class Pattern:
    """`apps/*/canary.yml`: `*` and `?` stay within a folder, `**` crosses folders, everything else is itself."""

    def __init__(self, text: str) -> None:
        """Raises `BadInput` for a pattern that could match nothing that is read."""
        parts = text.split("/")
        if not text or text.startswith(("/", "-")) or {"..", ".", ""} & set(parts) or _CONTROL.search(text):
            raise BadInput(f"{quoted(text)} is no pattern of paths; expected one such as apps/*/canary.yml.")
        self.text = text

    def matches(self, path: str) -> bool:
        """Whether a path, from the root of the repository, is one of these."""
        return self._expression.fullmatch(path) is not None

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        words = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
        found = re.split(r"(\*\*/|\*\*|\*|\?)", self.text)
        return re.compile("".join(words.get(piece, re.escape(piece)) for piece in found), re.DOTALL)


def why_refused(path: str, mode: str, kind: str) -> str:
    """Why an entry of a commit is not read, as a clause about it; nothing where it may be."""
    if mode in _KINDS:
        return f"{_KINDS[mode]}; only ordinary files are read"
    if mode == "100755":
        return "is marked as a program (mode 100755); a canary.yml has mode 100644"
    if kind != "blob" or mode != "100644":
        return f"is no ordinary file (mode {mode}); only ordinary files are read"
    if _CONTROL.search(path):
        return "has a control character or a byte that is not UTF-8 in its name"
    if "\\" in path or ":" in path:
        return "has a \\ or : in its name, which means another place on some systems"
    for part in path.split("/"):
        if part in {"", ".", ".."} or part.startswith("-"):
            return f"has the part {quoted(part)} in its name, which could mean another place or an option"
        if _DOT_GIT.fullmatch(part) or _DEVICES.fullmatch(part) or part.endswith((".", " ")):
            return f"has the part {quoted(part)} in its name, which means something of its own to git or Windows"
    return ""
