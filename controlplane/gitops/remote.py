"""The repository that is followed: address, branch and credentials, each refused where it could mean something else.

Made by `serinus controller` from its options; used by `git.py`. An address is checked against a short list of forms
before any program sees it, because git reads options, transports and shell words out of strings. Secrets are only ever
named by the file that they stand in; nothing here puts one into an address, an argument or a message.
"""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from canary.errors import BadInput
from canary.spec.source import printable, quoted
from controlplane.adapters.dial_policy import Address, is_written_out

_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
_USER = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*)"
_PATH = r"[A-Za-z0-9._~@+/-]+"
_WEB = re.compile(rf"(https?)://({_HOST}|\[::1\])(?::[0-9]{{1,5}})?/{_PATH}")
_SSH = re.compile(rf"ssh://(?:{_USER}@)?{_HOST}(?::[0-9]{{1,5}})?/{_PATH}")
_SCP = re.compile(rf"{_USER}@{_HOST}:(?![/:]){_PATH}")
_FILE = re.compile(r"(?:file://)?(/[A-Za-z0-9._~@+ /-]+)")
_BRANCH = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._/+-]{0,198}[A-Za-z0-9_+-])?")
_PASSWORD = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*@")
_LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}
_FORMS = "https://host/path, ssh://user@host/path or user@host:path"
_REDACTED = "[redacted]"
_PORTS = {"https": 443, "http": 80, "ssh": 22}
_LONGEST = 2000
"""Characters; an address or a name of a branch that is longer is a mistake or an attack."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository that can be fetched from and pushed to."""

    url: str
    protocol: str
    """What git calls the way there; the only one that it is allowed to take."""
    branch: str = "main"
    token: Path | None = None
    """File with a token or password, for https. Read anew at each use, so that it may be rotated."""
    user: str = "git"
    """The user name that goes with the token. Hosts that know tokens accept any."""
    key: Path | None = None
    """File with the private key, for ssh; None takes the agent's."""
    known_hosts: Path | None = None
    """File with the host's key, for ssh; None takes the user's own. A host that is not in it is refused."""
    addresses: Callable[[], Sequence[Address]] | None = None
    """The only addresses of the host that are dialled, asked for at each call; None: git looks the name up itself."""

    @property
    def ref(self) -> str:
        """The branch as git knows it there."""
        return f"refs/heads/{self.branch}"

    def configuration(self) -> Mapping[str, str]:
        """Settings of git for this repository: over the web, the addresses that its host may have."""
        host, port = address_of(self.url)
        if self.addresses is None or self.protocol not in {"http", "https"} or is_written_out(host, by_name=False):
            return {}
        known = ",".join(f"[{each}]" if each.version == 6 else str(each) for each in self.addresses())
        return {"http.curloptResolve": f"{host}:{port}:{known}"}

    def environment(self, askpass: Path) -> Mapping[str, str]:
        """Variables that let git find the credentials without anybody else seeing them."""
        variables = {"GIT_ALLOW_PROTOCOL": self.protocol, "GIT_SSH_COMMAND": self._ssh(), "GIT_ASKPASS": ""}
        if self.token is not None:
            variables |= {
                "GIT_ASKPASS": str(askpass),
                "SERINUS_GIT_USER": self.user,
                "SERINUS_GIT_TOKEN_FILE": str(self.token),
            }
        return variables

    def redacted(self, text: str) -> str:
        """The text without any secret of ours, whoever put it there, and with nothing that steers a terminal."""
        for secret in self._secrets():
            text = text.replace(secret, _REDACTED)
        return printable(_PASSWORD.sub(f"{_REDACTED}@", text))

    def _secrets(self) -> list[str]:
        try:
            content = self.token.read_text(encoding="utf-8", errors="replace") if self.token else ""
        except OSError:
            return []
        return [word for word in content.split() if word]

    def _ssh(self) -> str:
        """No file of the user's decides how ssh behaves, nobody is asked, and a host without a known key is refused."""
        words = ["ssh", "-F", "/dev/null", "-oBatchMode=yes", "-oStrictHostKeyChecking=yes", "-oConnectTimeout=10"]
        if self.key is not None:
            words += ["-oIdentitiesOnly=yes", "-oIdentityAgent=none", "-i", str(self.key)]
        if self.known_hosts is not None:
            words += [f"-oUserKnownHostsFile={self.known_hosts}"]
        host, port = address_of(self.url)
        if self.addresses is not None and self.protocol == "ssh" and not is_written_out(host, by_name=False):
            # The key is still looked for under the name, as ssh writes it.
            alias = host if port == _PORTS["ssh"] else f"[{host}]:{port}"
            words += [f"-oHostName={self.addresses()[0]}", f"-oHostKeyAlias={alias}"]
        return shlex.join(words)


def address_of(url: str) -> tuple[str, int]:
    """Host and port that are dialled for a repository; those of ssh where the address has the short form."""
    if "://" not in url:
        return url.partition("@")[2].partition(":")[0], _PORTS["ssh"]
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)


def remote(
    url: str,
    *,
    branch: str = "main",
    local: bool = False,
    token: Path | None = None,
    user: str = "git",
    key: Path | None = None,
    known_hosts: Path | None = None,
) -> Remote:
    """The repository at an address. `local` allows one on this machine's disk. Raises `BadInput`."""
    protocol, address = _address(url, local=local)
    if not _is_branch(branch):
        raise BadInput(f"{quoted(branch)} is no name of a branch; expected one such as main or release/2026.")
    for what, file in (("token", token), ("key", key), ("known hosts", known_hosts)):
        if file is not None and not file.is_file():
            raise BadInput(f"The file for the {what}, {printable(str(file))}, does not exist; nothing was started.")
    if token is not None and protocol not in {"https", "http"}:
        raise BadInput(f"A token is for https; for {protocol} give a key file instead.")
    return Remote(address, protocol, branch, token, user, key, known_hosts)


def _address(url: str, *, local: bool) -> tuple[str, str]:
    """Protocol and address. What is refused is shown without the password that may stand in it."""
    shown = quoted(_PASSWORD.sub(f"{_REDACTED}@", url[:_LONGEST]))
    if _PASSWORD.search(url):
        raise BadInput(f"{shown} carries a password, which every list of processes would show; put it into a file.")
    if len(url) > _LONGEST or any(part == ".." for part in re.split(r"[/:]", url)):
        raise BadInput(f"{shown} is no address of a repository; expected {_FORMS}.")
    if found := _WEB.fullmatch(url):
        if found[1] == "http" and found[2] not in _LOOPBACK:
            raise BadInput(f"{shown} would send everything in the clear; use https://.")
        return found[1], url
    if _SSH.fullmatch(url) or _SCP.fullmatch(url):
        return "ssh", url
    if found := _FILE.fullmatch(url):
        if not local:
            raise BadInput(f"{shown} is a place on one machine's disk; expected {_FORMS}.")
        return "file", f"file://{found[1]}"
    raise BadInput(f"{shown} is no address of a repository; expected {_FORMS}.")


def _is_branch(name: str) -> bool:
    """What `git check-ref-format` accepts, less what a shell or an option could be made of."""
    parts = name.split("/")
    broken = any(not part or part.startswith(".") or part.endswith((".lock", ".")) or ".." in part for part in parts)
    return bool(_BRANCH.fullmatch(name)) and not broken and name != "HEAD"
