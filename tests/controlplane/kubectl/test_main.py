"""The plugin as a whole: how it is found, what it says of itself, how soon it is there, and its krew manifest."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
import yaml

from controlplane.kubectl.main import COMMANDS, canary
from tests.controlplane.kubectl.desk import desk

ROOT = Path(__file__).parent.parent.parent.parent
HEAVY = ("kubernetes", "aiohttp", "pydantic", "numpy", "rich", "fastapi", "httpx2")
"""What takes longer to import than a list may take."""


def test_every_verb_is_there_with_a_sentence_of_help() -> None:
    for name, (_, line) in COMMANDS.items():
        command = canary.get_command(click.Context(canary), name)
        assert command is not None
        assert line.endswith("."), name
        assert name in desk()("--help").stdout


def test_usage_speaks_of_kubectl_canary() -> None:
    assert desk()("pause", "--help").stdout.startswith("Usage: kubectl canary pause [OPTIONS] NAME")
    told = desk()("pause")
    assert told.exit_code == 2
    assert "Usage: kubectl canary pause" in told.stderr


def test_kubectl_finds_both_programs_by_their_names() -> None:
    """A plugin is a program of this name on the PATH, and so is what completes it."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts["kubectl-canary"] == "controlplane.kubectl.main:main"
    assert scripts["kubectl_complete-canary"] == "controlplane.kubectl.completion:main"


@pytest.mark.parametrize("module", ["client", "kubeconfig", "listing", "main", "names", "session", "trouble"])
def test_what_a_list_imports_is_light(module: str) -> None:
    """`kubectl canary list` has 0.6 s; each of these alone would take half of it."""
    program = (
        f"import sys, controlplane.kubectl.{module}, controlplane.view.text, controlplane.adapters.system_clock;"
        f"print(*[each for each in {HEAVY!r} if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


def test_the_manual_names_every_verb() -> None:
    manual = (ROOT / "docs" / "kubectl.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if not re.search(rf"kubectl canary {name}\b", manual)] == []


def test_the_krew_manifest_is_one_once_a_release_fills_it_in() -> None:
    """What krew-release-bot does to the template, with made-up checksums."""
    template = (ROOT / "manifests" / "krew" / "canary.yaml").read_text(encoding="utf-8")
    filled = re.sub(
        r'\{\{ addURIAndSha "(\S+?)" \.TagName \| indent 6 \}\}'.replace(r"\S+?", ".+?"),
        rf"uri: \1\n      sha256: {'0' * 64}",
        template,
    ).replace("{{ .TagName }}", "v0.1.0")
    assert "{{" not in filled
    manifest = yaml.safe_load(filled)
    assert (manifest["kind"], manifest["metadata"]["name"]) == ("Plugin", "canary")
    assert manifest["spec"]["version"] == "v0.1.0"
    assert len(manifest["spec"]["shortDescription"]) <= 50
    places = [tuple(each["selector"]["matchLabels"].values()) for each in manifest["spec"]["platforms"]]
    assert sorted(places) == [(os, arch) for os in ("darwin", "linux") for arch in ("amd64", "arm64")]
    for each in manifest["spec"]["platforms"]:
        assert each["bin"] == "kubectl-canary"
        assert each["uri"].endswith("-".join(each["selector"]["matchLabels"].values()) + ".tar.gz")
