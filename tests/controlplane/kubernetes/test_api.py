"""Names become addresses in one place, and none of them leads out of its collection."""

import re
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from controlplane.kubernetes import resources
from controlplane.kubernetes.api import Rejected, Resource
from controlplane.kubernetes.resources import NAMESPACE, NODE, SECRET, SERVICE

KINDS = [each for each in vars(resources).values() if isinstance(each, Resource)]
NAMES = (
    st.text() | st.from_regex(r"[a-z0-9./%\\#?;:@&=~ -]{0,80}", fullmatch=True) | st.from_regex(r"(\.\./){1,5}[a-z]+")
)


def test_every_kind_of_ours_is_asked() -> None:
    assert len(KINDS) > 15


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.plural)
@given(namespace=NAMES, name=NAMES, subresource=NAMES | st.just("status"))
@example(namespace="attacker", name="../../models/secrets/models-git", subresource="")
@example(namespace="attacker", name="%2e%2e%2f%2e%2e%2fmodels", subresource="")
@example(namespace="..", name="x", subresource="")
@example(namespace="models", name="x", subresource="../../other")
@example(namespace="models", name="", subresource="")
@example(namespace="models", name="chat", subresource="status")
def test_s14_no_text_leads_a_path_out_of_its_collection(
    kind: Resource, namespace: str, name: str, subresource: str
) -> None:
    """What is asked of the server is this one object of this one namespace, or nothing at all."""
    try:
        path = kind.path(namespace, name, subresource)
    except Rejected:
        return
    collection = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    collection += f"/namespaces/{namespace}/{kind.plural}" if kind.namespaced else f"/{kind.plural}"
    wanted = f"{collection}/{name}" + (f"/{subresource}" if subresource else "")
    asked = URL(f"https://server{path}?limit=1")  # as the client of the API server reads it
    for found in (path, unquote(path), urlsplit(f"https://server{path}?limit=1").path, asked.path, asked.raw_path):
        assert found == wanted
    assert dict(asked.query) == {"limit": "1"}
    assert re.fullmatch(r"[a-z0-9./-]+", path)


def test_each_kind_has_the_names_that_the_server_gives_it() -> None:
    assert NODE.path(None, "node-1.example.com") == "/api/v1/nodes/node-1.example.com"
    assert SECRET.path("models", "a.b") == "/api/v1/namespaces/models/secrets/a.b"
    assert SECRET.path("models") == "/api/v1/namespaces/models/secrets"
    assert SECRET.path() == "/api/v1/secrets"
    for kind, namespace in ((NAMESPACE, None), (SERVICE, "models")):
        with pytest.raises(Rejected, match="at most 63 lower-case letters, digits and -"):
            kind.path(namespace, "a.b")
    assert SECRET.path("m" * 63, "a" * 253).endswith("a" * 253)
    for namespace, name in (("m" * 64, "a"), ("a.b", "a"), ("models", "a" * 254)):
        with pytest.raises(Rejected, match="cannot be the name of"):
            SECRET.path(namespace, name)


def test_the_sentence_says_what_was_asked_and_stays_short() -> None:
    with pytest.raises(Rejected) as caught:
        SECRET.path("attacker", "../../models/secrets/\x1b[31m" + "x" * 5000)
    said = str(caught.value)
    assert said.startswith("'../../models/secrets/\\x1b[31m")
    assert "cannot be the name of a Secret: expected at most 253 lower-case letters, digits and - or ." in said
    assert said.endswith("The API server was not asked for secrets")
    assert len(said) < 300


def test_one_object_of_a_namespace_needs_a_namespace() -> None:
    """Without one it would be another address: that of whatever the server keeps there."""
    with pytest.raises(Rejected, match="A Secret is in a namespace, and none was named"):
        SECRET.path(None, "a")
