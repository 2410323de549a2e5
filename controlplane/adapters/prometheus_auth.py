"""How we show a Prometheus who we are, and how we know that it is ours: tokens, passwords, headers, certificates.

Settings are read once, where the program is put together; the files that they name are read again whenever they change,
for tokens and certificates are renewed under a running program. Nothing is attached that was not asked for, and nothing
of it ever stands in an error.
"""

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from canary.errors import BadInput, Unavailable

LONGEST_SECRET = 64 * 1024


@dataclass(frozen=True, slots=True)
class PrometheusAuth:
    """What a Prometheus asks for. Nothing of it is needed for one that is open to the cluster."""

    bearer_file: Path | None = None
    """Holds a token for `Authorization: Bearer`; read again when it changes."""
    username: str = ""
    """For basic authentication; empty for none."""
    password_file: Path | None = None
    """Holds the password of `username`; read again when it changes."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further headers, such as `X-Scope-OrgID: team-a` of Mimir and Thanos."""
    ca_file: Path | None = None
    """Certificates that may have signed the server's; None trusts those of the system."""
    certificate_file: Path | None = None
    """Our own certificate, for a server that wants one (mTLS); read again when it changes."""
    key_file: Path | None = None
    """Its key; None where it stands in the same file."""


class Credentials:
    """Headers and certificates as they are now."""

    def __init__(self, access: PrometheusAuth, url: str, *, tls: ssl.SSLContext | None = None) -> None:
        """`tls`: made before for the same access.

        Raises `BadInput` for settings that contradict each other, or files that cannot be used.
        """
        if access.bearer_file and access.username:
            raise BadInput("A Prometheus is asked with a token or with a password, not with both.")
        if bool(access.username) != bool(access.password_file):
            raise BadInput("Basic authentication needs a username and a file with its password.")
        if access.key_file and not access.certificate_file:
            raise BadInput("A key for Prometheus without its certificate shows nobody who we are.")
        for name, value in access.headers.items():
            if not _sendable(name, value):
                raise BadInput(f"The header {name!r} cannot be sent to Prometheus: it holds what no header may hold.")
        secure = urlsplit(url).scheme == "https"
        if not secure and (access.ca_file or access.certificate_file):
            raise BadInput(f"Certificates were given for {url}, which is not asked over https.")
        self._access = access
        self._seen: dict[Path, tuple[int, int]] = {}
        self._secrets: dict[Path, str] = {}
        self.tls = (tls or self._context()) if secure else None
        """For the connection; None where there is none to secure."""
        self.headers()

    def headers(self) -> dict[str, str]:
        """Headers of the next request; a certificate that was renewed is taken up as well.

        Raises `Unavailable` for a file that cannot be read now.
        """
        access, headers = self._access, dict(self._access.headers)
        if access.bearer_file:
            headers["authorization"] = f"Bearer {self._secret(access.bearer_file)}"
        if access.username and access.password_file:
            pair = f"{access.username}:{self._secret(access.password_file)}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        if self.tls and access.certificate_file and self._changed(access.certificate_file):
            self._load(self.tls, access.certificate_file)
        return headers

    def _context(self) -> ssl.SSLContext:
        access = self._access
        try:
            context = ssl.create_default_context(cafile=str(access.ca_file) if access.ca_file else None)
        except (OSError, ssl.SSLError) as error:
            raise BadInput(f"{access.ca_file} holds no certificates to trust: {_why(error)}.") from error
        if access.certificate_file:
            self._changed(access.certificate_file)
            try:
                self._load(context, access.certificate_file)
            except Unavailable as error:
                raise BadInput(str(error)) from error
        return context

    def _load(self, context: ssl.SSLContext, certificate: Path) -> None:
        key = self._access.key_file
        try:
            # No password is asked for on the terminal: a key that has one cannot be used by a program.
            context.load_cert_chain(certificate, key, password=lambda: b"")
        except (OSError, ssl.SSLError) as error:
            raise Unavailable(f"the certificate in {certificate} cannot be used: {_why(error)}") from error

    def _secret(self, file: Path) -> str:
        """The file's text without the line end."""
        if self._changed(file) or file not in self._secrets:
            try:
                with file.open("rb") as opened:
                    secret = opened.read(LONGEST_SECRET).decode().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise Unavailable(f"{file} cannot be read: {_why(error)}") from error
            if not secret or not _sendable("x", secret):
                raise Unavailable(f"{file} holds nothing that can be sent")
            self._secrets[file] = secret
        return self._secrets[file]

    def _changed(self, file: Path) -> bool:
        """Whether it is another file than the last time; one that is away for a moment is not."""
        try:
            status = file.stat()
        except OSError:
            return False
        now = (status.st_mtime_ns, status.st_ino)
        before, self._seen[file] = self._seen.get(file), now
        return before != now


def _sendable(name: str, value: str) -> bool:
    """Whether this is one header and nothing besides."""
    return (
        bool(name)
        and all(c.isalnum() or c in "-_" for c in name)
        and name.isascii()
        and all(" " <= c <= "~" or c == "\t" for c in value)
    )


def _why(error: Exception) -> str:
    """In words, without what was read."""
    if isinstance(error, ssl.SSLError):
        return error.reason or "it is no certificate"
    return (isinstance(error, OSError) and error.strerror) or "it is not text"
