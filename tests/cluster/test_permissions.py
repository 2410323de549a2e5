"""What the chart's roles allow is what the operator asks for: on a real API server, with the account of the chart.

The light bed has no pods that serve and no Prometheus; a small one answers in its place. Kinds that it lacks are there
for the time of a test, because permissions are looked at before a kind is.
"""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from benchmarks.scale_prometheus import FakePrometheus
from controlplane.kserve.caches import LLM_LABEL
from controlplane.kubernetes.consent import ALLOW
from controlplane.operator.request_policy import FILE
from tests.cluster.bed import Bed, Light, until
from tests.cluster.charts import LONG, PATIENCE, a_canary, applied, ask, at_rest, install_crd, phase, release, variant
from tests.test_chart import ASKED, ELECTION, READS

SERINUS = Path(sys.executable).parent / "serinus"
ALERTS = {("get", "secrets")}


def may(where: Bed, account: str, namespace: str) -> set[tuple[str, str]]:
    """All that an account (`namespace:name`) may do in a namespace, as the API server says: verb and resource."""
    home, name = account.split(":")
    review = json.dumps(
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        }
    )
    groups = [f"--as-group=system:{each}" for each in ("serviceaccounts", f"serviceaccounts:{home}", "authenticated")]
    words = (
        "create",
        "--validate=false",
        "-f",
        "-",
        "-o",
        "json",
        f"--as=system:serviceaccount:{home}:{name}",
        *groups,
    )
    rules = json.loads(where.kubectl(*words, stdin=review))["status"]["resourceRules"]
    # What everybody may: ask who they are and what they may.
    own = [rule for rule in rules if not {"authorization.k8s.io", "authentication.k8s.io"} & set(rule["apiGroups"])]
    return {(verb, resource) for rule in own for verb in rule["verbs"] for resource in rule["resources"]}


def asked(metrics: str) -> set[tuple[str, str]]:
    """What an operator has asked of the API server so far, by its own metrics."""
    lines = re.findall(r"^canary_operator_api_requests_total\{(.*?)\} ", metrics, re.MULTILINE)
    labels = [dict(re.findall(r'(\w+)="(.*?)"', line)) for line in lines]
    return {(each["verb"], each["resource"]) for each in labels}


@contextmanager
def numbers(namespace: str) -> Iterator[FakePrometheus]:
    """A Prometheus in which this namespace's rollout has steady requests on both arms."""
    loop, server = asyncio.new_event_loop(), FakePrometheus()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.open(), loop).result(10)
        server.add(f"{namespace}/chat", canary_rate=10.0, stable_rate=10.0)
        yield server
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


class Replica:
    """An operator beside the light bed, with an account of the chart."""

    def __init__(self, log: Path, port: int) -> None:
        self._log, self._port = log, port

    def page(self, path: str) -> str:
        """One of its pages."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def said(self) -> str:
        """Its log so far."""
        return self._log.read_text()


@contextmanager
def operator(where: Light, account: str, watched: str, prometheus: str, folder: Path, *flags: str) -> Iterator[Replica]:
    """`serinus controller --cluster` with the token of an account and nothing else. `watched`: empty for everything."""
    home, name = account.split(":")
    token = where.kubectl("create", "token", name, "-n", home).strip()
    config = yaml.safe_load(where.kubeconfig.read_text())
    config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
    own, log = folder / "kubeconfig", folder / "operator.log"
    own.write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ("controller", "--cluster", *(("--namespace", watched) if watched else ()), "--kubeconfig", str(own))
    more = ("--listen", f"127.0.0.1:{port}", "--prometheus", prometheus)
    with log.open("w") as out:
        process = subprocess.Popen(
            [str(SERINUS), *words, *more, *flags], stderr=out, env={**os.environ, "POD_NAMESPACE": home}, text=True
        )
    try:
        until("an operator", lambda: "Carrying out" in log.read_text() or process.poll() is not None, PATIENCE)
        yield Replica(log, port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        sys.stdout.write(log.read_text())


@contextmanager
def kinds(where: Light, **named: str) -> Iterator[None]:
    """Kinds that the bed lacks, for a while: `Service="services.serving.knative.dev/v1"`.

    Nobody carries them out, which is enough to see what is asked about them.
    """
    made = []
    for kind, address in named.items():
        (plural, group), version = address.partition("/")[0].split(".", 1), address.partition("/")[2]
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        definition = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
                "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
            },
        }
        if not where.kubectl("get", "crd", f"{plural}.{group}", "--ignore-not-found", "-o", "name").strip():
            made.append(f"crd/{plural}.{group}")
            where.apply(definition)
        where.kubectl("wait", "--for=condition=Established", f"crd/{plural}.{group}")
    try:
        yield
    finally:
        if made:
            where.kubectl("delete", *made, "--timeout=60s")


def put_back_and_promote(where: Light, namespace: str) -> None:
    """Two stories of one ModelCanary: somebody edits what Serinus made and aborts, then tries again and promotes."""
    where.apply(a_canary("chat", namespace, stages=LONG))
    until("the first stage", lambda: phase(where, "chat", namespace) == "Analyzing", PATIENCE)
    for kind, field, other in (
        ("servingruntime", "/spec/containers/0/image", "example/other:1"),
        ("inferenceservice", "/spec/predictor/timeout", 77),
    ):
        edit = json.dumps([{"op": "replace", "path": field, "value": other}])
        where.kubectl("patch", kind, "chat-v2", "-n", namespace, "--type=json", "-p", edit)
    ask(where, "chat", namespace, "abort")
    until("the rollback", lambda: at_rest(where, "chat", namespace, "RolledBack"), PATIENCE)
    ask(where, "chat", namespace, "retry")
    until("the second attempt", lambda: phase(where, "chat", namespace) == "Analyzing", PATIENCE)
    ask(where, "chat", namespace, "promote")
    until("the promotion", lambda: at_rest(where, "chat", namespace, "Succeeded"), PATIENCE)


def delete_under_way(where: Light, namespace: str) -> None:
    """The next canary gets traffic, and then the ModelCanary is deleted."""
    where.apply(a_canary("chat", namespace, stable=variant(2), canary=variant(3), stages=LONG))
    until("the first stage", lambda: phase(where, "chat", namespace) == "Analyzing", PATIENCE)
    where.kubectl("delete", "modelcanary", "chat", "-n", namespace, "--timeout=240s", seconds=300)


def give_up_an_llm_service(where: Light, namespace: str) -> None:
    """Its canary has a little of the weight, which is taken from it before it is deleted."""
    both = {"uri": "hf://meta-llama/Llama-3.1-8B-Instruct", "profile": {"gpu": "L4"}}
    stable, canary = variant(1) | both, variant(2) | both
    platform = {"kserve": {"mode": "llm"}}
    where.apply(a_canary("llm", namespace, stable=stable, canary=canary, platform=platform, stages=LONG))
    until("stable", lambda: where.get("llminferenceservice", "llm-v1", namespace), PATIENCE)
    where.apply(pod_of("llm-v1", namespace))
    until("the canary", lambda: where.get("llminferenceservice", "llm-v2", namespace), PATIENCE)
    little = json.dumps({"spec": {"router": {"route": {"weight": 1}}}})
    where.kubectl("patch", "llminferenceservice", "llm-v2", "-n", namespace, "--type=merge", "-p", little)
    ask(where, "llm", namespace, "abort")
    until("the canary to go", lambda: where.get("llminferenceservice", "llm-v2", namespace) is None, PATIENCE)


def pod_of(service: str, namespace: str) -> dict[str, Any]:
    """What KServe's controller, which the bed lacks, would make of it: a canary waits until stable has its node."""
    labels = {LLM_LABEL: service, "app.kubernetes.io/part-of": "llminferenceservice"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{service}-0", "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "localhost/serinus-sim:testbed"}]},
    }


def test_s10_the_roles_are_what_whole_rollouts_ask_for(light: Light, namespace: str, tmp_path: Path) -> None:
    """Promotion, repair, rollback, retry, deletion: nothing is forbidden, nothing granted for nothing."""
    install_crd(light)
    given = {"crds.install": False, "userRoles": False, "watch.allNamespaces": False, "secretNamespaces": [namespace]}
    account = f"{namespace}:{namespace}"
    knative, llm = "services.serving.knative.dev/v1", "llminferenceservices.serving.kserve.io/v1alpha2"
    with release(light, namespace, given), numbers(namespace) as prometheus, applied(light, FILE):
        granted = may(light, account, namespace)
        assert granted == ASKED | READS | ELECTION | ALERTS
        light.kubectl(
            "create", "secret", "generic", "hook", "-n", namespace, "--from-literal=url=https://a.example.com/x"
        )
        light.kubectl("annotate", "secret", "hook", "-n", namespace, f"{ALLOW}=alerts")
        with (
            kinds(light, Service=knative, LLMInferenceService=llm),
            operator(light, account, namespace, prometheus.url, tmp_path) as replica,
        ):
            put_back_and_promote(light, namespace)
            delete_under_way(light, namespace)
            give_up_an_llm_service(light, namespace)
            metrics, said, ready = replica.page("/metrics"), replica.said(), replica.page("/readyz")
        assert asked(metrics) == granted
        assert "forbidden" not in said.lower()
        assert ready == "ok\n"


def test_s10_an_operator_that_sees_its_namespace_alone_says_what_it_goes_without(
    light: Light, namespace: str, tmp_path: Path
) -> None:
    """With no ClusterRole at all it leads, is ready, and has one sentence for each kind that it may not read."""
    given = {"crds.install": False, "userRoles": False, "watch.allNamespaces": False, "watch.clusterReads": False}
    account = f"{namespace}:{namespace}"
    install_crd(light)
    with release(light, namespace, given), numbers(namespace) as prometheus:
        assert may(light, account, namespace) == ASKED | ELECTION
        with operator(light, account, namespace, prometheus.url, tmp_path) as replica:
            ready, said = replica.page("/readyz"), replica.said()
    assert ready == "ok\n"
    for kind in ("clusterservingruntimes", "gateways", "nodes", "httproutes"):
        (sentence,) = [json.loads(line)["message"] for line in said.splitlines() if f"{kind} cannot" in line]
        assert "forbidden" in sentence.lower()


def test_s10_cluster_wide_the_account_may_the_same_everywhere_and_the_kind_stays(light: Light, namespace: str) -> None:
    """By one ClusterRole, which reads no Secret. After an uninstall every ModelCanary is still there."""
    given = {"replicas": 1, "secretNamespaces": [namespace]}
    # Other tests may have applied the resource by hand; on a cluster without it, Helm needs no such leave.
    with release(light, namespace, given, "--take-ownership"):
        for place in ("default", "kube-system"):
            assert may(light, f"{namespace}:{namespace}", place) == ASKED | READS
        assert may(light, f"{namespace}:{namespace}", namespace) == ASKED | READS | ELECTION | ALERTS
        until("people's roles", lambda: {"modelcanaries"} <= aggregated(light, "view") & aggregated(light, "edit"))
        light.apply(a_canary("chat", namespace, stages=LONG))
    assert light.get("modelcanary", "chat", namespace) is not None
    assert not light.kubectl("get", "clusterrole,clusterrolebinding", "-o", "name").count(namespace)


def aggregated(where: Bed, role: str) -> set[str]:
    """The resources in one of Kubernetes' own roles for people."""
    rules = json.loads(where.kubectl("get", "clusterrole", role, "-o", "json"))["rules"]
    return {resource for rule in rules for resource in rule.get("resources", ())}
