"""Reads the secrets that a canary.yml names: a folder like a mounted Secret, an environment variable, or a file.

Used by the channels, anew for each delivery, so a secret that was rotated counts at once. Values are wrapped so that no
log, message or crash dump shows one; errors name the reference only.
"""

import asyncio
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from canary.errors import ExternalError
from canary.spec.alerts import SecretRef

FOLDER = "SERINUS_SECRETS"
"""The variable that names the folder of the Secrets."""
MOST_BYTES = 64 * 1024


class Missing(ExternalError):  # noqa: N818 - a state of the world
    """A secret is not where its reference says. One clause, without the value."""


class Secrets(Protocol):
    """Where secrets come from on this platform."""

    async def read(self, reference: SecretRef) -> SecretStr:
        """The secret; raises `Missing`."""
        ...


class LocalSecrets:
    """The secrets of one machine."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    async def read(self, reference: SecretRef) -> SecretStr:
        """The secret without the line end that files have; raises `Missing`."""
        if reference.env is not None:
            return _usable(self._environment.get(reference.env, ""), f"${reference.env}", "is not set")
        # A file may be on a disk that hangs; the rollout must not wait for it.
        return await asyncio.to_thread(_from_file, self._file(reference))

    def _file(self, reference: SecretRef) -> Path:
        if reference.file is not None:
            return Path(reference.file).expanduser()
        folder = self._environment.get(FOLDER)
        if not folder:
            raise Missing(f"the secret {reference} is read from ${FOLDER}/{reference}, and ${FOLDER} is not set")
        return Path(folder) / str(reference.secret) / str(reference.key)


def _from_file(file: Path) -> SecretStr:
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise Missing(f"{file} is not a file")
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES)
    except OSError as error:
        raise Missing(f"{file} cannot be read: {error.strerror}") from None
    return _usable(content.decode("utf-8", "replace"), str(file), "is empty")


def _usable(value: str, place: str, otherwise: str) -> SecretStr:
    value = value.strip()
    if not value:
        raise Missing(f"{place} {otherwise}")
    if not value.isprintable():
        raise Missing(f"{place} holds more than one line, or control characters")
    return SecretStr(value)
