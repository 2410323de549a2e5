"""Admission policies on a real API server: who a request is from, and which host names a namespace may have.

The policy for requests is the chart's; what the operator makes of it is tested in memory. That for host names is an
example of the repository, tried as it is written.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from canary.snapshot import OperatorRequest
from controlplane.adapters.system_clock import SystemClock
from controlplane.kubernetes.client import KubeClient
from controlplane.operator.request_annotations import annotation_of
from controlplane.operator.request_policy import FILE, NAME, SETTLES, RequestPolicy
from tests.cluster.bed import KubectlError, Light, until
from tests.cluster.charts import LONG, a_canary, applied, install_crd
from tests.cluster.objects import route
from tests.test_chart import MANIFESTS

HOSTS = MANIFESTS / "policies" / "host-names.yaml"
ANN, LEADS = "ann@example.com", "ml-leads"
EVERYTHING = {"apiGroups": ["serinus.dev"], "resources": ["modelcanaries"], "verbs": ["*"]}


@contextmanager
def policy(light: Light, file: Path, ask: Callable[[], str]) -> Iterator[None]:
    """A file of policies, in force for the time of the block; what `ask` asks for is refused then."""
    with applied(light, file):
        until("the policy to be heeded", lambda: "denied" in ask(), 60)
        yield


def annotated(light: Light, namespace: str, value: str, *who: str, key: str = "1") -> str:
    """What somebody is answered who asks for this; removed again where it was taken."""
    words = ("annotate", "--overwrite", "modelcanary", "chat", "-n", namespace)
    said = light.kubectl(*words, f"requests.serinus.dev/{key}={value}", *who, check=False)
    if "denied" not in said:
        light.kubectl(*words, f"requests.serinus.dev/{key}-")
    return said


def as_person(name: str, *groups: str) -> list[str]:
    """Options for kubectl."""
    return [f"--as={name}", *(f"--as-group={each}" for each in ("system:authenticated", "team", *groups))]


def asked(by: str, *groups: str, **more: Any) -> str:
    """A request as kubectl canary writes it."""
    return annotation_of(OperatorRequest("approve-1-a1b2c3", "approve", by, 1.5, groups=groups, **more))[1]


def allow(
    light: Light, namespace: str, name: str, rules: Sequence[Mapping[str, Any]], subject: Mapping[str, str]
) -> None:
    """A role for somebody in this namespace."""
    meta = {"name": name, "namespace": namespace}
    rbac = "rbac.authorization.k8s.io"
    reference = {"apiGroup": rbac, "kind": "Role", "name": name}
    light.apply(
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": meta, "rules": rules},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": reference,
            "subjects": [subject],
        },
    )


@pytest.fixture
def place(light: Light, namespace: str) -> Iterator[str]:
    """A namespace with a ModelCanary that a team may edit, and the policy in force."""
    install_crd(light)
    light.apply(a_canary("chat", namespace, stages=LONG))
    group = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "team"}
    allow(light, namespace, "team", [EVERYTHING], group)
    forged = ("annotate", "mcan", "chat", "-n", namespace, "--dry-run=server", f"requests.serinus.dev/x={asked('ceo')}")
    with policy(light, FILE, lambda: light.kubectl(*forged, check=False)):
        yield namespace


FORGED = {
    "another name": asked("ceo@example.com"),
    "a name before ours": '{"by": "ceo", "by": "ann@example.com", "verb": "approve"}',
    "a name after ours": '{"id": "x", "verb": "approve", "by": "ann@example.com", "at": 1, "by": "ceo"}',
    "our name within": '{"verb": "approve", "by": "ceo", "x": {"by": "ann@example.com", "at": 1}}',
    "our name in the id": '{"id": "\\"by\\": \\"ann@example.com\\", \\"at\\": ", "verb": "approve", "by": "ceo"}',
    "a key in other letters": '{"verb": "approve", "\\u0062y": "ceo"}',
    "tighter": asked("ceo@example.com").replace(" ", ""),
    "a group of others": asked(ANN, "board"),
    "a group of others besides": asked(ANN, LEADS, "board"),
    "groups in other letters": '{"verb": "approve", "\\u0067roups": ["board"]}',
    "groups without a name": '{"verb": "approve", "groups": ["board"]}',
    "groups that look like ours": asked(ANN, f'{LEADS}", "board'),
}
"""What Ann, who is one of the ml-leads, might write to be somebody else."""


def test_s14_nobody_asks_in_another_ones_name_or_for_a_group_that_is_not_theirs(light: Light, place: str) -> None:
    ann = as_person(ANN, LEADS)
    for what, value in FORGED.items():
        assert "denied" in annotated(light, place, value, *ann), what
    honest = [asked(ANN), asked(ANN, LEADS), asked(ANN, LEADS, full=True), asked(ANN, to=0.75), "approve"]
    for value in (*honest, '{"verb": "promote", "full": true}'):
        assert "annotated" in annotated(light, place, value, *ann), value
    said = annotated(light, place, asked("ceo"), *ann)
    assert f"a request is from whoever writes it, and that is {ANN}" in said


def test_s14_a_request_is_looked_at_when_it_is_written_and_never_again(light: Light, place: str) -> None:
    """Whoever edits the resource, or takes a request away, is not taken for its sender. On creation too."""
    words = ("annotate", "mcan", "chat", "-n", place)
    light.kubectl(*words, f"requests.serinus.dev/1={asked(ANN, LEADS)}", *as_person(ANN, LEADS))
    bob = as_person("bob@example.com")
    light.kubectl(*words, "example.com/note=seen", *bob)
    assert "denied" in light.kubectl(*words, f"requests.serinus.dev/2={asked(ANN)}", *bob, check=False)
    light.kubectl(*words, "requests.serinus.dev/1-", *bob)
    other = a_canary("other", place, stages=LONG)
    other["metadata"]["annotations"] = {"requests.serinus.dev/1": asked(ANN)}
    made = light.kubectl("create", "--dry-run=server", "-f", "-", *bob, stdin=json.dumps(other), check=False)
    assert "denied" in made
    assert "created" in light.kubectl("create", "--dry-run=server", "-f", "-", *as_person(ANN), stdin=json.dumps(other))


def test_s14_only_an_account_that_may_attest_passes_on_what_it_was_shown(light: Light, place: str) -> None:
    """The dashboard's; another one's word, and an administrator's, is their own."""
    rule = {"apiGroups": ["serinus.dev"], "resources": ["modelcanaries/requests"], "verbs": ["attest"]}
    for name, rules in (("board", [EVERYTHING, rule]), ("job", [EVERYTHING])):
        light.kubectl("create", "serviceaccount", name, "-n", place)
        allow(light, place, name, rules, {"kind": "ServiceAccount", "name": name, "namespace": place})
    who = {name: [f"--as=system:serviceaccount:{place}:{name}"] for name in ("board", "job")}
    until("the role", lambda: "annotated" in annotated(light, place, asked(ANN, LEADS), *who["board"]), 60)
    assert "denied" in annotated(light, place, asked(ANN), *who["job"])
    assert "denied" in annotated(light, place, asked(ANN)), "an administrator is no service account"
    assert "annotated" in annotated(light, place, asked("admin"))


async def test_s14_the_operator_sees_whether_this_very_policy_is_in_force(light: Light, place: str) -> None:
    """As the server keeps it, with all that it adds; not while it is new, changed, or gone."""
    said: list[str] = []
    kube = await KubeClient.connect(kubeconfig=str(light.kubeconfig))
    try:
        found = RequestPolicy(kube, SystemClock(), said.append)
        until("the policy to be old enough", lambda: _age(light) > SETTLES + 1, 60)
        assert await found.look()
        assert found.in_force
        change = '{"spec": {"validationActions": ["Audit"]}}'
        light.kubectl("patch", "validatingadmissionpolicybinding", NAME, "--type=merge", "-p", change)
        assert await found.look()
        assert "is not as this operator knows it" in said[-1]
    finally:
        await kube.close()


def _denied(ask: Callable[[str], str]) -> bool:
    return "denied" in ask("chat.other.example.com")


def _age(light: Light) -> float:
    made = light.kubectl("get", "validatingadmissionpolicy", NAME, "-o", "jsonpath={.metadata.creationTimestamp}")
    return time.time() - time.mktime(time.strptime(made, "%Y-%m-%dT%H:%M:%SZ")) + time.timezone


def test_s14_the_example_keeps_each_namespace_to_host_names_of_its_own(light: Light, namespace: str) -> None:
    install_crd(light)

    def canary(host: str) -> str:
        made = a_canary("chat", namespace, stages=LONG)
        made["spec"]["platform"]["kserve"]["hostname"] = host
        return light.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(made), check=False)

    def http_route(host: str) -> str:
        made = route("chat", namespace, host, {"chat": 1})
        if not host:
            del made["spec"]["hostnames"]
        return light.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(made), check=False)

    other = a_canary("other", namespace, stages=LONG)
    other["spec"]["platform"]["kserve"]["hostname"] = "chat.other.example.com"
    light.apply(other)
    with policy(light, HOSTS, lambda: canary("chat.other.example.com")):
        for ask in (canary, http_route):
            until("both policies", partial(_denied, ask), 60)
            assert "created" in ask(f"chat.{namespace}.example.com")
            for host in (f"chat.x{namespace}.example.com", "*.example.com", f"{namespace}.example.com"):
                assert "denied" in ask(host), host
        assert "denied" in http_route("")
        light.kubectl("annotate", "mcan", "other", "-n", namespace, "a=b")  # what is there may be worked on
        assert f"below {namespace}.example.com" in canary("a.b")
    with pytest.raises(KubectlError):
        light.kubectl("get", "validatingadmissionpolicy", "host-names-of-routes.example.com")
