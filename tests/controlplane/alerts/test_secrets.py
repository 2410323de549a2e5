"""Secrets are found where their references say, and are named but never shown when they are not."""

import os
from pathlib import Path

import pytest

from canary.spec.alerts import SecretRef
from controlplane.alerts.secrets import LocalSecrets, Missing


async def test_a_secret_is_a_file_in_a_folder_like_a_mounted_secret(tmp_path: Path) -> None:
    (tmp_path / "slack-webhook").mkdir()
    (tmp_path / "slack-webhook" / "url").write_text("https://hooks.example.com/T\n")
    secrets = LocalSecrets({"SERINUS_SECRETS": str(tmp_path)})
    value = await secrets.read(SecretRef(secret="slack-webhook", key="url"))
    assert value.get_secret_value() == "https://hooks.example.com/T"
    assert "hooks" not in f"{value} {value!r}"


async def test_a_secret_is_a_variable_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(" abc \n")
    secrets = LocalSecrets({"KEY": "def"})
    assert (await secrets.read(SecretRef(env="KEY"))).get_secret_value() == "def"
    assert (await secrets.read(SecretRef(file=str(tmp_path / "key")))).get_secret_value() == "abc"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (await secrets.read(SecretRef(file="~/key"))).get_secret_value() == "abc"


async def test_a_rotated_secret_counts_at_once(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("old")
    secrets, reference = LocalSecrets({}), SecretRef(file=str(file))
    await secrets.read(reference)
    file.write_text("new")
    assert (await secrets.read(reference)).get_secret_value() == "new"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (SecretRef(secret="a", key="b"), r"the secret a/b is read from \$SERINUS_SECRETS/a/b, and .* is not set"),
        (SecretRef(env="NOT_THERE"), r"\$NOT_THERE is not set"),
        (SecretRef(env="EMPTY"), r"\$EMPTY is not set"),
        (SecretRef(env="LINES"), r"\$LINES holds more than one line"),
        (SecretRef(file="/nowhere/at/all"), "/nowhere/at/all cannot be read: No such file"),
        (SecretRef(file="/"), "/ is not a file"),
    ],
)
async def test_what_is_missing_is_named(reference: SecretRef, expected: str) -> None:
    secrets = LocalSecrets({"EMPTY": " ", "LINES": "MARKER\r\nX: y"})
    with pytest.raises(Missing, match=expected) as caught:
        await secrets.read(reference)
    assert "MARKER" not in str(caught.value)


async def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Opening one would wait for whoever writes to it, for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Missing, match="is not a file"):
        await LocalSecrets({}).read(SecretRef(file=str(tmp_path / "pipe")))
