"""Argo Workflows' own CustomResourceDefinitions with their full schemas, from its Go module, held to its hash.

Used by `test_pipeline.py`. The module is kept in the test bed's cache; its controller is not run, so no step starts.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

MODULE, VERSION = "github.com/argoproj/argo-workflows/v3", "v3.7.4"
SUM = "h1:oA/DxaSsjb6fMYaygf7JVQgnsF+ZzlfUPy5kIfLsCic="
"""Of the module's contents, as go.sum has it: another server's files would be others."""
KINDS = ("workflows", "workflowtemplates")


def definitions() -> Sequence[Path]:
    """The files of the two kinds that a pipeline makes. Raises `AssertionError` where the module cannot be had."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(os.environ.get("SERINUS_TESTBED_CACHE") or Path(caches) / "serinus-testbed")
    folder = cache / f"argo-workflows-{VERSION}" / "crds"
    if not folder.is_dir():
        _keep(folder)
    return [folder / f"argoproj.io_{kind}.yaml" for kind in KINDS]


def _keep(folder: Path) -> None:
    """Copy them from the module, which is fetched through the Go module proxy."""
    words = ["go", "mod", "download", "-json", f"{MODULE}@{VERSION}"]
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd="/", timeout=300)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    found = json.loads(done.stdout)
    assert found["Sum"] == SUM, f"{MODULE}@{VERSION} is not what it was: {found['Sum']}"
    making = folder.with_name(f"{folder.name}.{os.getpid()}")
    making.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        # Not copy2: what lies in the module cache may be read only.
        shutil.copyfile(
            Path(found["Dir"]) / "manifests/base/crds/full" / f"argoproj.io_{kind}.yaml",
            making / f"argoproj.io_{kind}.yaml",
        )
    making.rename(folder)
