"""A name that is not there, and a cluster that is not as expected: one sentence, and what to do."""

from canary.errors import Unavailable
from controlplane.kubernetes.api import Rejected
from controlplane.kubernetes.resources import MODEL_CANARY
from tests.controlplane.kubectl.desk import a_canary, desk, good


def test_a_near_name_is_offered() -> None:
    told = desk(good)("why", "caht")
    assert told.exit_code == 2
    assert told.stderr == "There is no ModelCanary caht in namespace models. Did you mean chat?\n"


def test_another_namespace_is_offered() -> None:
    told = desk(good)("why", "chat", "-n", "elsewhere")
    assert told.exit_code == 2
    assert "There is one in models: add -n models." in told.stderr


def test_what_there_is_instead_is_named() -> None:
    assert "There are chat: `kubectl canary list` shows them." in desk(good)("get", "zzz").stderr
    assert "`kubectl canary list -A` looks everywhere" in desk()("get", "zzz").stderr


def test_a_cluster_without_the_crd_says_how_to_install_it() -> None:
    person = desk()
    person.kube.missing.add(MODEL_CANARY)
    for words in (("list",), ("get", "chat"), ("pause", "chat")):
        told = person(*words)
        assert told.exit_code in {1, 2}
        assert "kubectl apply --server-side -f manifests/crd" in told.stderr or "no ModelCanary chat" in told.stderr
    assert "not installed" in person("list").stderr


def test_a_missing_permission_names_who_may_not_do_what() -> None:
    person = desk()
    person.kube.seed(MODEL_CANARY, a_canary())
    said = (
        "list /apis/serinus.dev/v1alpha1/namespaces/models/modelcanaries: modelcanaries.serinus.dev is forbidden: User "
        '"bob" cannot list resource "modelcanaries" in API group "serinus.dev" in the namespace "models"'
    )
    person.kube.fail_next(Rejected(said))
    told = person("list")
    assert told.exit_code == 1
    start = 'bob may not list resource "modelcanaries" in API group "serinus.dev" in the namespace "models".'
    assert told.stderr.startswith(start)
    assert "role view" in told.stderr


def test_a_cluster_out_of_reach_says_what_to_look_at() -> None:
    person = desk()
    person.kube.fail_next(Unavailable("list /apis: the API server at https://x:1 does not answer: connection refused"))
    told = person("list")
    assert told.exit_code == 1
    assert told.stderr.startswith("The API server at https://x:1 does not answer: connection refused. Look at")
