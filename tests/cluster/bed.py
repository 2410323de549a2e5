"""The test bed as a test sees it: where it is, what kubectl says, pods' knobs, and steady traffic through the gateway.

`conftest.py` hands a `Light` or a `Node` to the tests; both stand on the program `testbed/testbed`, which does the real
work. Nothing here builds binaries (that takes minutes: `make test-cluster` does it first) or judges a rollout.
"""

import json
import os
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from tests.cluster.traffic import Load

TESTBED = Path(__file__).parent / "testbed" / "testbed"
CANNOT = 3
"""Exit code of `testbed check` when this machine lacks something; its two lines say what, and what would help."""
T = TypeVar("T")


class UnavailableError(Exception):
    """A part of the test bed cannot run on this machine."""

    def __init__(self, part: str, reason: str, remedy: str) -> None:
        super().__init__(f"{reason} {remedy}".strip())
        self.part = part
        """`light` or `node`."""
        self.reason = reason
        self.remedy = remedy


BUILD_S = 1500
"""For an image of the project's Dockerfile; two quiet cores need two minutes, and one more the first time."""


class KubectlError(AssertionError):
    """kubectl said no; the message is what it said."""


def run(part: str, *words: str, seconds: float = 600) -> str:
    """Run one command of the program `testbed` for `light` or `node`; answers its output. Raises `AssertionError`."""
    light = ["--light"] if part == "light" else []
    done = subprocess.run([str(TESTBED), *light, *words], check=False, capture_output=True, text=True, timeout=seconds)
    if done.returncode == CANNOT:
        reason, _, remedy = done.stdout.strip().partition("\n")
        raise UnavailableError(part, reason, remedy)
    assert done.returncode == 0, f"testbed {' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Bed:
    """A running API server with KServe's and the Gateway API's resources. Made by `up`."""

    kubeconfig: Path
    kubectl_program: Path
    load_program: Path

    def kubectl(self, *words: str, stdin: str | None = None, check: bool = True, seconds: float = 120) -> str:
        """What kubectl prints. A refusal raises `KubectlError`; without `check` its words are answered instead."""
        done = subprocess.run(
            [str(self.kubectl_program), *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds,
            input=stdin,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
        )
        if done.returncode and check:
            raise KubectlError(f"kubectl {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout + (done.stderr if done.returncode else "")

    def apply(self, *objects: dict[str, Any]) -> None:
        """Server-side apply, as a person with kubectl would."""
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=listed)

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any] | None:
        """The object, or None when there is none of that name."""
        text = self.kubectl("get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found")
        return dict(json.loads(text)) if text.strip() else None

    def find(self, kind: str, namespace: str, *words: str) -> list[dict[str, Any]]:
        """All objects of a kind in a namespace; more words narrow it (`-l`, `app=x`)."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "-n", namespace, "-o", "json", *words))[
            "items"
        ]
        return found

    def until_ready(self, namespace: str, *services: str, seconds: float = 180) -> None:
        """Wait until these InferenceServices are Ready."""
        for service in services:
            self.kubectl(
                *("wait", "--for=condition=Ready", f"inferenceservice/{service}", "-n", namespace),
                f"--timeout={seconds:g}s",
                seconds=seconds + 10,
            )

    @contextmanager
    def namespace(self, name: str) -> Iterator[None]:
        """A namespace with this name for the time of the block, and nothing left of it afterwards."""
        self.kubectl("create", "namespace", name)
        try:
            yield
        finally:
            self.clear(name)

    def clear(self, namespace: str) -> None:
        """Delete a namespace and wait until its pods are gone, and with them what they held (GPUs, memory).

        Finalizers of our own are dropped, because the operator may be away. The API server finishes the rest alone.
        """
        self.kubectl("delete", "namespace", namespace, "--wait=false", "--ignore-not-found")
        if self.kubectl("get", "crd", "modelcanaries.serinus.dev", "--ignore-not-found", check=False).strip():
            for canary in self.kubectl("get", "modelcanaries", "-n", namespace, "-o", "name", check=False).split():
                bare = '{"metadata":{"finalizers":null}}'
                self.kubectl("patch", canary, "-n", namespace, "--type=merge", "-p", bare, check=False)
        self.kubectl("delete", "pods", "--all", "-n", namespace, "--grace-period=1", "--timeout=60s")


@dataclass(frozen=True)
class Light(Bed):
    """No pods run: kwok plays nodes, pods and gateway. For control flow, never for traffic.

    Annotations on `spec.predictor` shape the pods: `sim/load: 30s` (ready after so long), `sim/mode: hang` or `crash`.
    """

    @classmethod
    def up(cls) -> Self:
        """Bring it up, or find it up. Raises `UnavailableError`."""
        where = _up("light")
        return cls(Path(where["kubeconfig"]), Path(where["kubectl"]), Path(where["load"]))


@dataclass(frozen=True)
class Node(Bed):
    """One real node: kubelet, pods, Services, DNS, four pretended GPUs, Envoy Gateway, KServe, Prometheus."""

    gateway: str
    """URL of the gateway's Service, reachable from this machine; requests need the Host of an HTTPRoute."""
    prometheus: str
    """URL of Prometheus, reachable from this machine; it scrapes every second."""

    @classmethod
    def up(cls) -> Self:
        """Bring it up with all its parts, or find it up. Raises `UnavailableError`."""
        where = _up("node")
        return cls(
            Path(where["kubeconfig"]),
            Path(where["kubectl"]),
            Path(where["load"]),
            gateway=where["gateway"],
            prometheus=where["prometheus"],
        )

    def import_image(self, name: str, *contents: str, entrypoint: Sequence[str] = ("python3",)) -> None:
        """Make a Python image (folders go to /app, packages and projects through pip) and give it to the node."""
        run("node", "image", name, "--entrypoint", json.dumps(list(entrypoint)), *contents)

    def import_own_image(self, name: str) -> str:
        """Build the project's Dockerfile and give the image to the node; its repository."""
        run("node", "dockerfile", name, seconds=BUILD_S)
        return f"localhost/{name}"

    def restart(self, daemon: str) -> None:
        """Kill -9 a daemon of the node (`apiserver`, `etcd`, `kubelet`, `proxy`, …); it is started again at once."""
        run("node", "restart", daemon)

    def query(self, promql: str) -> list[dict[str, Any]]:
        """Ask Prometheus now; each answer has `metric` (labels) and `value` (time, text)."""
        url = f"{self.prometheus}/api/v1/query?{urllib.parse.urlencode({'query': promql})}"
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - the test bed's own http address
            return cast("list[dict[str, Any]]", json.load(answer)["data"]["result"])

    def turn(self, namespace: str, service: str, **knobs: object) -> None:
        """Turn knobs of every pod of an InferenceService (`error_rate=1.0`, `ttft=0.5`, …), from inside the pod."""
        self.turn_pods(namespace, f"serving.kserve.io/inferenceservice={service}", "kserve-container", 8080, **knobs)

    def turn_pods(self, namespace: str, label: str, container: str, port: int, **knobs: object) -> None:
        """Turn knobs of every pod with this label.

        The sample server takes such orders from its own machine only, so the request is made in the pod itself.
        """
        pods = self.find("pods", namespace, "-l", label)
        assert pods, f"no pods in {namespace} have the label {label}: there are no knobs to turn"
        ask = (
            "import sys, urllib.request as u;"
            f"print(u.urlopen(u.Request('http://127.0.0.1:{port}/knobs', sys.argv[1].encode(), method='POST')).status)"
        )
        for pod in pods:
            inside = ("exec", "-n", namespace, pod["metadata"]["name"], "-c", container, "--", "python3", "-c", ask)
            assert self.kubectl(*inside, json.dumps(knobs)).strip() == "200"

    def load(self, host: str, *, path: str = "/v1/chat/completions", **settings: Any) -> Load:
        """Traffic through the gateway to this Host, as a context manager; see `traffic.Load`."""
        return Load(program=self.load_program, url=f"{self.gateway}{path}", host=host, **settings)

    def add(self, part: str) -> None:
        """Bring up a part that the bed does not have by itself (`llm`), or find it up."""
        run("node", "up", part)


def until(what: str, ask: Callable[[], T | None], seconds: float = 60, every: float = 0.1) -> T:
    """Ask until the answer is neither None nor False, and answer it. Raises `AssertionError` saying what for."""
    end = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer is not None and answer is not False:
            return answer
        assert time.monotonic() < end, f"waited {seconds:g} s for {what}; the last answer was {answer!r}"
        time.sleep(every)


def slug(text: str) -> str:
    """Words fit for the name of a Kubernetes object."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _up(part: str) -> dict[str, str]:
    run(part, "check")
    run(part, "up")
    return dict(line.split(maxsplit=1) for line in run(part, "where").splitlines())
