"""S2: addresses, branches and credentials that could mean something else are refused; S7: secrets are never said."""

import shlex
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from canary.errors import BadInput
from controlplane.gitops.remote import remote

GOOD = [
    "https://git.example.com/team/models.git",
    "https://git.example.com:8443/team/models",
    "ssh://git@git.example.com:2222/team/models.git",
    "git@git.example.com:team/models.git",
    "http://127.0.0.1:3000/team/models.git",
]
HOSTILE = [
    "--upload-pack=touch /tmp/x",
    "-oProxyCommand=id",
    "ext::sh -c id",
    "git://git.example.com/x",
    "ftp://git.example.com/x",
    "ssh://-oProxyCommand=id/x",
    "ssh://git@-oProxyCommand=id/x",
    "git@-host:x",
    "-user@host:x",
    "https://git.example.com/$HOME",
    "https://git.example.com/`id`",
    "https://git.example.com/a/%2e%2e/b",
    "https://git.example.com/../b",
    "git@host:../b",
    "https://git.example.com/a\nb",
    "https://git.example.com/a\0b",
    "https://git.example.com/a b",
    "http://git.example.com/a",
    "http://localhost.example.com/a",
    "https://" + "a" * 5000,
    "fd::7",
    "",
    ".",
    "../models",
    "C:\\models",
]


@pytest.mark.parametrize("url", GOOD)
def test_s2_the_usual_addresses_are_taken_as_they_are(url: str) -> None:
    assert remote(url).url == url


@pytest.mark.parametrize("url", HOSTILE)
@pytest.mark.parametrize("local", [False, True])
def test_s2_an_address_that_could_be_an_option_a_command_or_another_transport_is_refused(url: str, local: bool) -> None:
    with pytest.raises(BadInput, match=r"address of a repository|in the clear"):
        remote(url, local=local)


@pytest.mark.parametrize("url", ["file:///srv/models.git", "/srv/models.git"])
def test_s2_a_place_on_this_disk_is_for_this_machine_only(url: str) -> None:
    assert remote(url, local=True).url == "file:///srv/models.git"
    with pytest.raises(BadInput, match="one machine's disk"):
        remote(url)


@pytest.mark.parametrize("branch", ["main", "release/2026.11", "feature_x", "v1+2"])
def test_s2_the_usual_branches_are_taken(branch: str) -> None:
    assert remote(GOOD[0], branch=branch).ref == f"refs/heads/{branch}"


BRANCHES = ["", "-f", "--force", "a..b", "a b", "$HOME", "a\nb", "a\0", "a:b", "a^", "a~1", "@{u}", "/a", "a/", "a//b"]
BRANCHES += ["a.lock", ".a", "a/.b", "%2e%2e", "HEAD", "+main", "a" * 300]


@pytest.mark.parametrize("branch", BRANCHES)
def test_s2_a_branch_that_could_be_something_else_is_refused(branch: str) -> None:
    with pytest.raises(BadInput, match="name of a branch"):
        remote(GOOD[0], branch=branch)


def test_s7_an_address_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(BadInput, match="put it into a file") as error:
        remote("https://bot:hunter2@git.example.com/x")
    assert "hunter2" not in str(error.value)


def test_s7_the_token_is_in_no_variable_and_no_message(tmp_path: Path) -> None:
    """Git is told the file's name; whatever it or a host repeats of the token is taken out."""
    token = tmp_path / "token"
    token.write_text("glpat-MARKER\n")
    there = remote(GOOD[0], token=token)
    assert "MARKER" not in repr(there) + repr(there.environment(tmp_path / "askpass"))
    said = there.redacted("fatal: Authentication failed for 'https://x:other@host/' with glpat-MARKER\x1b[31m")
    assert "MARKER" not in said
    assert "other" not in said
    assert "\x1b" not in said


def test_a_key_file_is_the_only_key_that_ssh_may_try(tmp_path: Path) -> None:
    """With a name that a shell would take apart."""
    key = tmp_path / "my key; id"
    key.touch()
    words = shlex.split(remote(GOOD[2], key=key).environment(tmp_path)["GIT_SSH_COMMAND"])
    assert words[:3] == ["ssh", "-F", "/dev/null"]
    assert words[-2:] == ["-i", str(key)]
    assert {"-oBatchMode=yes", "-oStrictHostKeyChecking=yes", "-oIdentitiesOnly=yes"} <= set(words)


def test_credentials_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    """A token for ssh, and a file that is not there."""
    (tmp_path / "token").write_text("x")
    with pytest.raises(BadInput, match="token is for https"):
        remote(GOOD[2], token=tmp_path / "token")
    with pytest.raises(BadInput, match="does not exist"):
        remote(GOOD[0], token=tmp_path / "none")


CHECKED = [ip_address("203.0.113.7"), ip_address("2001:db8::7")]


@pytest.mark.parametrize(
    ("url", "resolved"),
    [
        ("https://git.example.com/x", "git.example.com:443:203.0.113.7,[2001:db8::7]"),
        ("https://git.example.com:8443/x", "git.example.com:8443:203.0.113.7,[2001:db8::7]"),
    ],
)
def test_s4_git_is_given_the_addresses_of_a_web_host(url: str, resolved: str) -> None:
    assert remote(url).configuration() == {}
    assert replace(remote(url), addresses=lambda: CHECKED).configuration() == {"http.curloptResolve": resolved}


def test_s4_an_address_that_is_written_out_is_dialled_as_it_is() -> None:
    assert replace(remote("https://203.0.113.7/x"), addresses=lambda: CHECKED).configuration() == {}


@pytest.mark.parametrize(
    ("url", "alias"),
    [
        ("ssh://git@git.example.com/x", "git.example.com"),
        ("ssh://git@git.example.com:2222/x", "[git.example.com]:2222"),
        ("git@git.example.com:team/x", "git.example.com"),
    ],
)
def test_s4_ssh_is_given_the_address_and_still_looks_for_the_key_of_the_name(
    tmp_path: Path, url: str, alias: str
) -> None:
    there = replace(remote(url), addresses=lambda: CHECKED)
    words = shlex.split(there.environment(tmp_path)["GIT_SSH_COMMAND"])
    assert words[-2:] == ["-oHostName=203.0.113.7", f"-oHostKeyAlias={alias}"]
    assert there.configuration() == {}
