"""The secret of one user's dashboard: kept in a file that only they can read, with two keys derived from it.

Used by `guard.py` and `serinus dashboard`. Whoever has the token may read and act. The cookie may only read: browsers
send it to every port of this machine. An action needs the page's own key besides, which the page gets once, when it is
opened with the token, and which no answer tells to whoever has the cookie alone.
"""

import hmac
import os
import secrets
import stat
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from canary.errors import BadInput
from controlplane.adapters.state_dir import default_state_folder
from controlplane.private_files import private_folder

FILE = "dashboard-token"
LENGTH = 43
"""Characters of 256 random bits in URL-safe base64."""


@dataclass(frozen=True, slots=True)
class Keys:
    """One token and what follows from it."""

    token: str

    @property
    def cookie_name(self) -> str:
        """Its name, so that two dashboards on one machine do not take each other's."""
        return f"serinus-{self._derived(b'name')[:12]}"

    @property
    def cookie(self) -> str:
        """What the browser keeps after it was opened with the token."""
        return self._derived(b"cookie")

    @property
    def header(self) -> str:
        """What the page sends with every action."""
        return self._derived(b"header")

    def _derived(self, purpose: bytes) -> str:
        return hmac.new(self.token.encode(), purpose, sha256).hexdigest()


def same(given: str, wanted: str) -> bool:
    """Whether two secrets are the same, in a time that says nothing about them."""
    return hmac.compare_digest(given.encode(), wanted.encode())


def load_or_create(home: Path, *, keep: bool = False) -> Keys:
    """New keys for this state directory; with `keep` those that it has, unless others could have read them.

    Raises `BadInput` when they cannot be kept there.
    """
    file = home / FILE
    try:
        private_folder(home, ours=home == default_state_folder("any").parent)
        return Keys((_read(file) if keep else "") or _create(file))
    except OSError as error:
        raise BadInput(
            f"The dashboard's token cannot be kept in {file}: {error.strerror}. Choose another folder with "
            f"--state-home; nothing was started."
        ) from error


def _read(file: Path) -> str:
    """The token in the file; empty unless it is ours alone and whole."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return ""
    with os.fdopen(descriptor) as opened:
        about = os.fstat(opened.fileno())
        private = stat.S_ISREG(about.st_mode) and about.st_uid == os.getuid() and not about.st_mode & 0o077
        token = opened.read(LENGTH + 1).strip() if private else ""
    return token if len(token) == LENGTH and token.isascii() else ""


def _create(file: Path) -> str:
    token = secrets.token_urlsafe(32)
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(token)
    return token
