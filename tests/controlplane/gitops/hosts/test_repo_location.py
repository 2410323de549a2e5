"""Where a token goes: only to the API of the host that the operator named, or that the whole world knows."""

import time
from pathlib import Path

import pytest

from canary.errors import BadInput
from controlplane.gitops.hosts.host import HostFailed
from controlplane.gitops.hosts.repo_location import RepoLocation, access_of, host_at, location_of
from controlplane.gitops.hosts.settings import GitSettings, Kind

GITHUB = RepoLocation("github", "https://api.github.com", "ml/models")


@pytest.mark.parametrize(
    ("url", "host", "api", "expected"),
    [
        ("https://github.com/ml/models.git", None, "", GITHUB),
        ("git@github.com:ml/models.git", None, "", GITHUB),
        ("ssh://git@github.com/ml/models", None, "", GITHUB),
        (
            "https://gitlab.com/a/b/c/models.git",
            None,
            "",
            RepoLocation("gitlab", "https://gitlab.com/api/v4", "a/b/c/models"),
        ),
        ("https://codeberg.org/ml/models", None, "", RepoLocation("gitea", "https://codeberg.org/api/v1", "ml/models")),
        (
            "https://git.example.com:8443/ml/models",
            "gitea",
            "",
            RepoLocation("gitea", "https://git.example.com:8443/api/v1", "ml/models"),
        ),
        (
            "ssh://git@git.example.com:2222/ml/models.git",
            "github",
            "",
            RepoLocation("github", "https://git.example.com/api/v3", "ml/models"),
        ),
        (
            "https://example.com/git/ml/models.git",
            "gitlab",
            "https://example.com/git/api/v4/",
            RepoLocation("gitlab", "https://example.com/git/api/v4", "ml/models"),
        ),
        (
            "http://127.0.0.1:3000/ml/models",
            "gitea",
            "",
            RepoLocation("gitea", "http://127.0.0.1:3000/api/v1", "ml/models"),
        ),
        (
            "git@github.com:ml/models.git",
            "github",
            "https://proxy.example.com/github",
            RepoLocation("github", "https://proxy.example.com/github", "ml/models"),
        ),
    ],
)
def test_the_api_follows_from_the_address_and_the_operators_word(
    url: str, host: Kind | None, api: str, expected: RepoLocation
) -> None:
    assert location_of(url, GitSettings(host=host, api=api)) == expected


@pytest.mark.parametrize("url", ["https://git.example.com/ml/models", "file:///srv/models.git", "git@gitlab.corp:a/b"])
def test_s4_a_host_that_nobody_named_is_not_guessed(url: str) -> None:
    """`gitlab.corp` may be anything; a token is not sent there to find out."""
    assert location_of(url, GitSettings()) is None


@pytest.mark.parametrize(
    "api",
    [
        "http://git.example.com/api/v1",
        "https://bot:secret@git.example.com/api/v1",
        "https://git.example.com/api/v1?x=1",
        "https://git.example.com/api/v1#x",
        "ftp://git.example.com",
        "file:///etc/passwd",
        "https:///api",
        "https://git.example.com/\n",
        "api",
    ],
)
def test_s4_an_address_that_a_token_must_not_be_sent_to_is_refused(api: str) -> None:
    with pytest.raises(BadInput, match="is no address of an API"):
        location_of("https://git.example.com/ml/models", GitSettings(host="gitea", api=api))


@pytest.mark.parametrize(
    ("url", "settings", "said"),
    [
        ("https://git.example.com/ml/models", GitSettings(api="https://x.example.com"), "say --host"),
        ("file:///srv/models.git", GitSettings(host="gitea"), "a folder of this machine"),
        ("https://github.com/models", GitSettings(), "does not name a repository"),
        ("https://github.com/a/b/c", GitSettings(), "does not name a repository"),
        ("https://gitlab.com/models", GitSettings(), "does not name a repository"),
        ("https://github.com/~a/b", GitSettings(), "does not name a repository"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_starts(url: str, settings: GitSettings, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        location_of(url, settings)


@pytest.mark.parametrize(
    "api",
    [
        "https://169.254.169.254/api/v1",
        "https://[::ffff:169.254.169.254]/api/v1",
        "https://2852039166/api/v1",
        "https://0xa9.0xfe.0xa9.0xfe/api/v1",
        "https://100.100.100.200/api/v1",
        "https://0.0.0.0/api/v1",
    ],
)
async def test_s4_a_metadata_service_is_never_dialled_however_it_is_written(api: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("MARKER")
    place = location_of("https://git.example.com/ml/models", GitSettings(host="gitea", api=api))
    assert place is not None
    with pytest.raises(HostFailed, match=r"never dialled|not one of a server") as failed:
        await host_at(place, access_of(place, tmp_path / "token", time.time)).see(1)
    assert "MARKER" not in str(failed.value)
