"""Write an OCI image archive without a registry or a daemon: one uncompressed layer, and the JSON around it.

Called by `images.sh`. The layer holds the tree of `--root`, then each `--add SOURCE:TARGET`. Owners are 0:0 and times
0, so that the same input gives the same digest. It compresses nothing and knows no other platform than linux/amd64.
"""

import argparse
import hashlib
import io
import json
import os
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def walk(source: Path, target: str) -> Iterator[tuple[Path, str]]:
    """A file or a tree in a fixed order, each with its name in the image; Python's caches are left out."""
    if target:
        yield source, target
    if source.is_symlink() or not source.is_dir():
        return
    for folder, folders, files in os.walk(source):
        folders[:] = sorted(set(folders) - {"__pycache__"})
        for name in sorted(folders + files):
            path = Path(folder, name)
            yield path, str(Path(target, path.relative_to(source)))


def put_tree(tar: tarfile.TarFile, source: Path, target: str) -> None:
    """Store it without owners and times."""
    for path, name in walk(source, target):
        member = tar.gettarinfo(path, arcname=name.lstrip("/"))
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = 0
        if member.islnk():  # a hard link to a file seen before is stored again, plainly
            member.type, member.linkname, member.size = tarfile.REGTYPE, "", path.stat().st_size
        if member.isreg():
            with path.open("rb") as content:
                tar.addfile(member, content)
        else:
            tar.addfile(member)


def write_layer(file: Any, flags: argparse.Namespace) -> None:
    """All trees in one tar."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        if flags.root:
            put_tree(tar, Path(flags.root), "")
        for folder in flags.dir:
            member = tarfile.TarInfo(folder.strip("/"))
            member.type, member.mode = tarfile.DIRTYPE, 0o1777 if member.name == "tmp" else 0o755
            tar.addfile(member)
        for pair in flags.add:
            source, target = pair.split(":", 1)
            put_tree(tar, Path(source).resolve(), target)
    file.flush()


def digest_of(data: bytes) -> str:
    """As OCI writes it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def blob(digest: str) -> str:
    """Where a blob lies in the archive."""
    return "blobs/" + digest.replace(":", "/")


def write_archive(flags: argparse.Namespace) -> str:
    """The archive; answers the digest of its manifest."""
    out = Path(flags.out)
    with tempfile.NamedTemporaryFile(dir=out.parent) as layer:
        write_layer(layer, flags)
        size = Path(layer.name).stat().st_size
        with Path(layer.name).open("rb") as content:
            layer_digest = "sha256:" + hashlib.file_digest(content, "sha256").hexdigest()
        config = json.dumps(image_config(flags, layer_digest)).encode()
        manifest = json.dumps(image_manifest(config, layer_digest, size)).encode()
        names = {"io.containerd.image.name": flags.name, "org.opencontainers.image.ref.name": flags.name.split(":")[-1]}
        entry = {"mediaType": MANIFEST, "digest": digest_of(manifest), "size": len(manifest), "annotations": names}
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
        with tarfile.open(out, "w") as tar:
            for name, data in (
                ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
                ("index.json", json.dumps(index).encode()),
                (blob(digest_of(config)), config),
                (blob(digest_of(manifest)), manifest),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
            member = tarfile.TarInfo(blob(layer_digest))
            member.size = size
            with Path(layer.name).open("rb") as content:
                tar.addfile(member, content)
    return digest_of(manifest)


def image_config(flags: argparse.Namespace, layer: str) -> dict[str, Any]:
    """How a container of it starts."""
    return {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": json.loads(flags.entrypoint),
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", *flags.env],
            "WorkingDir": flags.cwd,
            "User": flags.user,
        },
        "rootfs": {"type": "layers", "diff_ids": [layer]},
    }


def image_manifest(config: bytes, layer: str, size: int) -> dict[str, Any]:
    """What it consists of."""
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [{"mediaType": LAYER, "digest": layer, "size": size}],
    }


def main() -> None:
    """Read the flags and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("-o", "--out", required=True, help="the archive")
    add("-n", "--name", required=True, help="NAME:TAG")
    add("--root", help="a folder that becomes /")
    add("--add", action="append", default=[], metavar="SOURCE:TARGET", help="a file or folder, and its place")
    add("--dir", action="append", default=[], help="an empty folder (/tmp is writable for all)")
    add("--entrypoint", default="[]", help="a JSON list")
    add("--env", action="append", default=[], metavar="NAME=VALUE")
    add("--user", default="")
    add("--cwd", default="/")
    flags = parser.parse_args()
    sys.stdout.write(f"{flags.name} {write_archive(flags)}\n")


if __name__ == "__main__":
    main()
