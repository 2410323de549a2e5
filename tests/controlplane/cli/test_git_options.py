"""The options about a git host: one value for every command, and what cannot be done is refused before it starts."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from controlplane.cli.controller import command
from controlplane.cli.git_options import git_options
from controlplane.gitops.hosts.settings import GitSettings


@click.command()
@git_options
def show(git_settings: GitSettings) -> None:
    click.echo(repr(git_settings))


def test_without_options_everything_is_as_an_operator_left_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERINUS_URL", raising=False)
    assert CliRunner().invoke(show, []).output.strip() == repr(GitSettings())


def test_each_option_is_in_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERINUS_URL", "https://serinus.example.com")
    words = ["--write", "pull-request", "--host", "gitlab", "--api", "https://git.example.com/api/v4", "--no-statuses"]
    words += ["--api-token-file", "token", "--sign-key", "key", "--author", "Bot <bot@example.com>"]
    expected = GitSettings(
        write="pull-request",
        host="gitlab",
        api="https://git.example.com/api/v4",
        api_token=Path("token"),
        sign_key=Path("key"),
        author="Bot <bot@example.com>",
        dashboard="https://serinus.example.com",
        statuses=False,
    )
    assert CliRunner().invoke(show, words).output.strip() == repr(expected)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--write", "pull-request"], "need --host github, gitlab or gitea as well"),
        (["--host", "gitea"], "it has no gitea"),
        (["--api", "https://git.example.com/api/v1"], "say --host github"),
        (["--sign-key", "none"], "does not exist"),
        (["--author", "Bot"], "is no author"),
        (["--api-token-file", "none"], "does not exist"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_starts(tmp_path: Path, words: list[str], said: str) -> None:
    folder = tmp_path / "origin.git"
    folder.mkdir()
    done = CliRunner().invoke(command, ["--git", str(folder), "--state", str(tmp_path / "state"), *words])
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
    assert "othing was started" in done.output


def test_a_host_without_a_token_is_told_which_option_is_missing(tmp_path: Path) -> None:
    url = "ssh://git@git.example.com/ml/models.git"
    words = ["--git", url, "--host", "gitea", "--state", str(tmp_path / "state")]
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 2
    assert "need --api-token-file as well" in " ".join(done.output.split())
