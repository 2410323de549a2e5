"""Helm and the chart as tests use them: releases, what is rendered, and ModelCanaries with what people ask of them.

Used by `test_install.py` and `test_permissions.py`. Programs are those of the test bed.
"""

import functools
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import bed
from tests.cluster.bed import Bed
from tests.test_chart import CHART, MANIFESTS

CRDS = sorted((MANIFESTS / "crd").glob("*.serinus.dev.yaml"))
PATIENCE = 240.0
"""Seconds for any one step: the machine may have much else to do."""
OLDEST = "1.30.0"
"""The Kubernetes that `helm template` is told to render for."""
LINKS = re.compile(r"^walk\.go:\d+: found symbolic link.*\n", re.MULTILINE)
LONG = [{"traffic": "5%", "hold": "10m"}, {"traffic": "100%", "hold": "1s"}]


@functools.cache
def program_called(name: str) -> str:
    """Where the test bed has a program."""
    return bed.run("node", "bin", name).strip()


def helm(*words: str, kubeconfig: Path | None = None, check: bool = True) -> str:
    """What Helm prints; a failure raises `AssertionError` with its words, which without `check` are the answer."""
    program = program_called("helm")
    env = {**os.environ, "HELM": program} | ({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})
    done = subprocess.run([program, *words], check=False, capture_output=True, text=True, timeout=400, env=env)
    said = LINKS.sub("", done.stderr)
    assert done.returncode == 0 or not check, f"helm {' '.join(words)}: {said}"
    return done.stdout if check else done.stdout + said


def values(given: Mapping[str, Any]) -> list[str]:
    """Options for Helm."""
    return [word for path, value in given.items() for word in ("--set-json", f"{path}={json.dumps(value)}")]


def objects(text: str) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Manifests by kind, namespace and name."""
    found = [each for each in yaml.safe_load_all(text) if each]
    return {(each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): each for each in found}


def rendered(*options: str) -> dict[tuple[str, str, str], dict[str, Any]]:
    """What the chart renders with these options."""
    return objects(helm("template", "serinus", str(CHART), "--kube-version", OLDEST, *options))


@contextmanager
def release(where: Bed, namespace: str, given: Mapping[str, Any], *options: str) -> Iterator[None]:
    """The chart, installed under the name of its namespace for the time of the block."""
    # One for the whole cluster, so it is another test's.
    words = (namespace, str(CHART), "--namespace", namespace, *values({"requestPolicy": False, **given}), *options)
    helm("install", *words, kubeconfig=where.kubeconfig)
    try:
        yield
    finally:
        # A test that fails between an uninstall and the next install has none; its own words say more than Helm's.
        helm("uninstall", namespace, "--namespace", namespace, "--wait", kubeconfig=where.kubeconfig, check=False)


def install_crd(where: Bed) -> None:
    """The resources alone, as `crds.install=false` expects it."""
    for file in CRDS:
        where.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(file))
        where.kubectl("wait", "--for=condition=Established", f"crd/{file.stem}")


@contextmanager
def applied(where: Bed, file: Path) -> Iterator[None]:
    """A file of objects for the whole cluster, there for the time of the block."""
    where.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(file))
    try:
        yield
    finally:
        where.kubectl("delete", "-f", str(file))


def variant(number: int) -> dict[str, Any]:
    """A variant with a server of its own, and so with a ServingRuntime of its own."""
    return {
        "name": f"v{number}",
        "image": f"example/server:{number}",
        "resources": {"cpu": "20m", "memory": "64Mi"},
    }


def a_canary(name: str, namespace: str, **spec: Any) -> dict[str, Any]:
    """A ModelCanary whose variants bring runtimes of their own, and that tells somebody by a webhook."""
    kserve = {"gateway": "kserve/kserve-ingress-gateway", "hostname": f"{name}.{namespace}.example.com"}
    return {
        "apiVersion": "serinus.dev/v1alpha1",
        "kind": "ModelCanary",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "model": {"name": name, "uri": "hf://example/chat"},
            "platform": {"kserve": kserve},
            "stable": variant(1),
            "canary": variant(2),
            "drain": "0s",  # nobody counts what is under way on the light bed
            "alerts": [{"webhook": {"urlFrom": {"secret": "hook", "key": "url"}}}],
            **spec,
        },
    }


def status(where: Bed, name: str, namespace: str) -> dict[str, Any]:
    """The status now; empty before there is one."""
    return dict((where.get("modelcanary", name, namespace) or {}).get("status") or {})


def phase(where: Bed, name: str, namespace: str) -> str:
    """The phase now."""
    return str(status(where, name, namespace).get("phase", ""))


def at_rest(where: Bed, name: str, namespace: str, ended: str) -> bool:
    """Whether the rollout ended in this phase and everything is put away."""
    found = status(where, name, namespace)
    told = {each["type"]: each["status"] for each in found.get("conditions", ())}
    return found.get("phase") == ended and told.get("Progressing") == "False"


def ask(where: Bed, name: str, namespace: str, verb: str) -> None:
    """As a person would, with nothing but kubectl."""
    where.kubectl("annotate", "modelcanary", name, "-n", namespace, f"requests.serinus.dev/{verb}={verb}")
