"""The Secret of a source: read by its name alone, put into files that git is pointed to, kept out of everything else.

Used by `source_controller.py` before each look at a branch, so that a rotated token counts at once, and by the
webhooks. Files are in memory (`/dev/shm`) where there is such a place, readable by this process alone.
"""

import base64
import binascii
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from canary.errors import BadInput
from controlplane.gitsources.resource import SECRETS, GitSource
from controlplane.kubernetes.consent import Consent, NotAllowed

MEMORY = Path("/dev/shm")  # noqa: S108 - a fresh folder of our own is made in it
AS_TEXT = frozenset({"user", "webhook"})
"""What is no file."""


class NoSecret(BadInput):
    """The Secret is not there, may not be read, or lacks what is needed."""


class SecretFiles:
    """The secrets of one source, as files."""

    def __init__(self) -> None:
        place = MEMORY if os.access(MEMORY, os.W_OK) else None
        self._folder = Path(tempfile.mkdtemp(prefix="serinus-git-", dir=place))
        self.files: dict[str, Path] = {}
        """By what each is for: token, key, known_hosts, api, sign."""
        self.user = ""

    def take(self, secrets: Mapping[str, bytes]) -> None:
        """Have these and no others."""
        self.user = secrets.get("user", b"").decode("utf-8", "replace").strip()
        files = {name: content for name, content in secrets.items() if name not in AS_TEXT}
        for name in self.files.keys() - files.keys():
            self.files.pop(name).unlink(missing_ok=True)
        for name, content in files.items():
            file, beside = self._folder / name, self._folder / f"{name}.new"
            if name in self.files and file.read_bytes() == content:
                continue
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
                opened.write(content)
            beside.replace(file)
            self.files[name] = file

    def close(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self._folder, ignore_errors=True)


async def secrets_of(consent: Consent, source: GitSource) -> Mapping[str, bytes]:
    """What the Secret of a source holds, by what it is for. Raises `NoSecret`, or `Unavailable` for now."""
    if not source.secret:
        return {}
    where = f"Secret {source.namespace}/{source.secret}"
    try:
        data = await consent.read(source.namespace, source.secret)
    except NotAllowed as error:
        raise NoSecret(f"{error}.") from None
    try:
        found = {
            name: _as_lines(base64.b64decode(data[key], validate=True))
            for name, keys in SECRETS.items()
            for key in keys[::-1]
            if key in data
        }
    except binascii.Error:
        raise NoSecret(f"{where} cannot be read: its data is no base64.") from None
    if not found:
        known = ", ".join(key for keys in SECRETS.values() for key in keys)
        raise NoSecret(f"{where} has none of the keys that are known: {known}.")
    return found


def _as_lines(content: bytes) -> bytes:
    """With a line end, without which ssh refuses a key."""
    return content if content.endswith(b"\n") else content + b"\n"
