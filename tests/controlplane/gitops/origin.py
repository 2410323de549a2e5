"""A repository as a host has it, for tests: bare, made by the real git, with whatever in it a hostile person can push.

Used by the tests of `controlplane.gitops`. Commits are made by `git fast-import`, which takes any mode and name.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "HOME": "/nonexistent",
}
Content = str | bytes | tuple[str, str | bytes] | None
"""Text, or mode and text (`("120000", "/etc/passwd")`); None removes the file."""


class Origin:
    """The repository and what people do to it."""

    def __init__(self, folder: Path, *, branch: str = "main") -> None:
        self.folder = folder
        self.branch = branch
        subprocess.run(
            ["git", "init", "--quiet", "--bare", "--template=", f"--initial-branch={branch}", folder],
            check=True,
            env=ENVIRONMENT,
        )
        self.git("config", "http.receivepack", "true")
        self.git("config", "core.bigFileThreshold", "1m")

    @property
    def url(self) -> str:
        """Its address on this machine."""
        return f"file://{self.folder}"

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        """What git says, in this repository."""
        done = subprocess.run(
            ["git", f"--git-dir={self.folder}", *arguments],
            input=stdin,
            capture_output=True,
            check=False,
            env=ENVIRONMENT,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode("utf-8", "replace")

    def commit(
        self,
        files: Mapping[str, Content],
        message: str = "Change something",
        *,
        author: str = "Ann <ann@example.com>",
        branch: str = "",
        root: bool = False,
    ) -> str:
        """Push a commit; answers its id. `root` begins the branch anew, as a rewritten history does."""
        ref = f"refs/heads/{branch or self.branch}"
        lines: list[bytes] = [f"commit {ref}\n".encode()]
        lines += [
            f"{role} {author} {1_700_000_000 + self.count()} +0000\n".encode() for role in ("author", "committer")
        ]
        lines.append(_data(message))
        if not root and self.exists(ref):
            lines.append(f"from {ref}^0\n".encode())
        for path, content in files.items():
            quoted = '"' + "".join(f"\\{byte:03o}" for byte in os.fsencode(path)) + '"'
            if content is None:
                lines.append(f"D {quoted}\n".encode())
            else:
                mode, text = content if isinstance(content, tuple) else ("100644", content)
                if mode == "160000":
                    lines.append(f"M 160000 {text!s} {quoted}\n".encode())
                else:
                    lines += [f"M {mode} inline {quoted}\n".encode(), _data(text)]
        force = ["--force"] if root else []
        self.git("fast-import", "--quiet", *force, stdin=b"".join(lines))
        return self.head(branch)

    def head(self, branch: str = "") -> str:
        """The newest commit of a branch."""
        return self.git("rev-parse", f"refs/heads/{branch or self.branch}").strip()

    def count(self) -> int:
        """How many commits there are on all branches."""
        return int(self.git("rev-list", "--all", "--count").strip())

    def exists(self, ref: str) -> bool:
        """Whether the ref is there."""
        return bool(self.git("for-each-ref", ref))

    def text(self, path: str, commit: str = "") -> str:
        """A file in a commit."""
        return self.git("show", f"{commit or self.branch}:{path}")

    def message(self, commit: str = "") -> str:
        """The message of a commit."""
        return self.git("log", "-1", "--format=%B", commit or self.branch)

    def note(self, commit: str) -> str:
        """Our note on a commit."""
        return self.git("notes", "--ref=serinus", "show", commit)

    def hook(self, name: str, script: str) -> None:
        """Give the host a hook, such as one that protects a branch."""
        file = self.folder / "hooks" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)


def _data(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return b"data %d\n%s\n" % (len(raw), raw)
