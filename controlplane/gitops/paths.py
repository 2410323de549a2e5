"""Paths in a repository: which ones match a pattern, and which entries are not read whatever they match.

Used by `bare_repository.py`. Pure: text in, answers out. A path never reaches a file system here; what is refused is
what could steer one, a shell or a terminal further down. Patterns and paths both come from whoever may write a
GitSource or push, so matching never backtracks: each letter of a path is looked at once, whatever the pattern.
"""

import re

from canary.errors import BadInput
from canary.spec.source import quoted

LONGEST_PATTERN = 500
MOST_DEEP = 3
"""`**` in one pattern; more of them only say the same again."""
LONGEST_PATH = 1024
"""Characters; a longer path is not read."""
MOST_FOLDERS = 10_000
"""Folders for which it is remembered how much of the pattern they match."""
_WILD = re.compile(r"(\*\*/|\*\*|\*|\?)")
_KINDS = {"120000": "is a symbolic link", "160000": "is a submodule"}
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")
_DOT_GIT = re.compile(r"(?i)\.git|git~[0-9]+|\.git[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]+")


class Pattern:
    """`apps/*/canary.yml`: `*` and `?` stay within a folder, `**` crosses folders, everything else is itself.

    Several patterns are one that matches what any of them does. A nondeterministic automaton whose states, one a
    character of a pattern, are the bits of an integer: a letter of a path is a few operations on it.
    """

    def __init__(self, *texts: str) -> None:
        """Raises `BadInput` for a pattern that could match nothing that is read, or that is too long."""
        self.text = ", ".join(texts)
        self.steps = 0
        """Letters looked at since it was made: what matching has cost."""
        self._endings = tuple(_WILD.split(_checked(text))[-1] for text in texts)
        self._letters = {"/": 0}
        """By letter: the states that lead on to the next one by it."""
        self._any_letter = self._stays = self._stays_in_folder = self._in_folder = 0
        self._skips = self._skips_two = self._ends = 0
        start, bit = 0, 1
        for text in texts:
            start |= bit
            bit = self._add(text, bit)
            self._ends |= bit
            bit <<= 1
        in_folder = self._stays | self._stays_in_folder
        self._moves = {
            letter: (states, self._stays, self._in_folder)
            if letter == "/"
            else (states | self._any_letter, in_folder, 0)
            for letter, states in self._letters.items()
        }
        self._other_move = (self._any_letter, in_folder, 0)
        self._folders = {"": self._skipped(start)}

    def matches(self, path: str) -> bool:
        """Whether a path, from the root of the repository, is one of these; one that is too long, by its end alone."""
        if not path.endswith(self._endings):
            return False
        if len(path) > LONGEST_PATH:
            return True
        folder, slash, name = path.rpartition("/")
        return bool(self._walk(self._at(folder + slash), name) & self._ends)

    def _add(self, text: str, bit: int) -> int:
        """Take in one pattern whose first state is `bit`; answers the state of its end."""
        for piece in filter(None, _WILD.split(text)):
            match piece:
                case "**/":
                    # Two states: between two folders, from which it goes on, and in a folder's name.
                    self._any_letter |= bit
                    self._skips_two |= bit
                    bit <<= 1
                    self._stays_in_folder |= bit
                    self._in_folder |= bit
                case "**":
                    self._stays |= bit
                    self._skips |= bit
                case "*":
                    self._stays_in_folder |= bit
                    self._skips |= bit
                case "?":
                    self._any_letter |= bit
                case _:
                    for letter in piece:
                        self._letters[letter] = self._letters.get(letter, 0) | bit
                        bit <<= 1
                    continue
            bit <<= 1
        return bit

    def _at(self, folder: str) -> int:
        """The states after a folder, which ends with a slash; remembered, as files share their folders."""
        missing = []
        while (states := self._folders.get(folder)) is None:
            missing.append(folder)
            folder = folder[: folder.rfind("/", 0, -1) + 1]
        if len(self._folders) + len(missing) > MOST_FOLDERS:
            self._folders = {"": self._folders[""]}
        for each in reversed(missing):
            states = self._folders[each] = self._walk(states, each[len(folder) :])
            folder = each
        return states

    def _walk(self, states: int, letters: str) -> int:
        """The states after some more letters."""
        for letter in letters:
            if not states:
                break
            self.steps += 1
            on, stay, back = self._moves.get(letter, self._other_move)
            states = self._skipped((states & on) << 1 | states & stay | (states & back) >> 1)
        return states

    def _skipped(self, states: int) -> int:
        """With the states behind those that may match nothing."""
        new = states
        while new := ((new & self._skips) << 1 | (new & self._skips_two) << 2) & ~states:
            states |= new
        return states


def _checked(text: str) -> str:
    parts = text.split("/")
    if not text or text.startswith(("/", "-")) or {"..", ".", ""} & set(parts) or _CONTROL.search(text):
        raise BadInput(f"{quoted(text)} is no pattern of paths; expected one such as apps/*/canary.yml.")
    if len(text) > LONGEST_PATTERN or text.count("**") > MOST_DEEP:
        raise BadInput(
            f"{quoted(text[:80])} is too much of a pattern; expected at most {LONGEST_PATTERN} characters and "
            f"{MOST_DEEP} times **."
        )
    return text


def why_refused(path: str, mode: str, kind: str) -> str:
    """Why an entry of a commit is not read, as a clause about it; nothing where it may be."""
    if mode in _KINDS:
        return f"{_KINDS[mode]}; only ordinary files are read"
    if mode == "100755":
        return "is marked as a program (mode 100755); a canary.yml has mode 100644"
    if kind != "blob" or mode != "100644":
        return f"is no ordinary file (mode {mode}); only ordinary files are read"
    if len(path) > LONGEST_PATH:
        return f"has more than {LONGEST_PATH} characters in its name"
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
