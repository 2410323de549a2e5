"""What was taken from others is exactly what they published, has its licence beside it, and is little."""

import json
import re
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

STATIC = Path(__file__).parents[4] / "controlplane" / "dashboard" / "static"
VENDOR = STATIC / "vendor"
MOST_SCRIPT = 101_000
"""Bytes. A kilobyte of it says numbers as `canary.format` does, so that a chart and its table agree."""


def test_every_vendored_file_is_listed_with_its_size_and_digest() -> None:
    listed = json.loads((VENDOR / "vendor.json").read_text())
    licences = {name for about in listed.values() for name in about["licences"]}
    assert {file.name for file in VENDOR.iterdir()} == {"vendor.json", *listed, *licences}
    for name, about in listed.items():
        content = (VENDOR / name).read_bytes()
        assert (len(content), sha256(content).hexdigest()) == (about["bytes"], about["sha256"]), name


def test_all_script_together_is_at_most_101_kb() -> None:
    """As it lies there, not compressed."""
    scripts = [file for file in STATIC.rglob("*") if file.suffix in {".js", ".mjs"}]
    assert sum(file.stat().st_size for file in scripts) <= MOST_SCRIPT


def test_s12_the_page_has_no_inline_script_or_style_and_asks_nobody_else() -> None:
    """What the content security policy forbids is not tried."""
    html = (STATIC / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>|<style|\bstyle=|\bon\w+=|https?://", html) == []
    own = "".join(file.read_text() for file in STATIC.glob("*.js"))
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|https?://", own) == []


def test_the_wheel_brings_the_page(tmp_path: Path) -> None:
    """Everything that the page needs is installed with the package."""
    root = STATIC.parents[2]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=root,
        check=True,
        capture_output=True,
        timeout=60,
    )
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        packed = set(wheel.namelist())
    wanted = {str(file.relative_to(root)) for file in STATIC.rglob("*") if file.is_file()}
    assert wanted <= packed
