"""What the controller of a source remembers, kept in the status of its GitSource: no replica has anything of its own.

Used by `source_controller.py`, which saves it before anything is done that follows from it. Small books stand there as
they are; large ones are packed, because an object of the API server has its limits.
"""

import base64
import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

from canary.errors import BadInput
from controlplane.gitops.git_state import GitState, GitStateStore, as_text

PACKED = "gzip:"
PACK_ABOVE = 32 * 1024
"""Characters."""
LARGEST = 16 * 1024 * 1024
"""Bytes that a packed state may come to."""


class StatusGitState(GitStateStore):
    """A git state whose file is a text in an object. Raises `BadInput` for one that cannot be understood."""

    def __init__(self, text: str, name: str) -> None:
        """`name`: of the source, for messages."""
        self._text = text
        self._asked: list[str] = []
        super().__init__(Path(f"status.state of GitSource {name}"))

    def text(self) -> str:
        """The state as text, packed where it is large."""
        plain = as_text(self.state).decode()
        if len(plain) <= PACK_ABOVE:
            return plain
        return PACKED + base64.b64encode(gzip.compress(plain.encode(), mtime=0)).decode()

    def ask_again(self, name: str) -> None:
        """Somebody wants this rollout to be tried again."""
        self._asked.append(name)

    def asked_again(self) -> Sequence[str]:
        """See `GitStateStore`."""
        asked, self._asked = self._asked, []
        return asked

    def _load(self) -> bytes | None:
        if not self._text:
            return None
        if not self._text.startswith(PACKED):
            return self._text.encode()
        try:
            packed = zlib.decompressobj(wbits=31)
            plain = packed.decompress(base64.b64decode(self._text.removeprefix(PACKED)), LARGEST)
        except (ValueError, zlib.error) as error:
            raise BadInput(f"{self.file} is damaged; remove the status and git is asked what it knows.") from error
        return plain

    def _save(self, state: GitState) -> None:
        """Nothing: the follower writes `text` to the API server."""
