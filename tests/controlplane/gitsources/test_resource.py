"""What a GitSource may say; the schema of the resource knows the same fields."""

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import BadInput
from controlplane.gitsources.resource import FIELDS, INTERVAL, PATHS, SECRETS, read
from tests.canary.rollouts import JSON

CRD = Path(__file__).parents[3] / "manifests" / "crd" / "gitsources.serinus.dev.yaml"
URL = "https://git.example.com/ml/models.git"


def source(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "apps", "namespace": "models"}, "spec": {"url": URL, **spec}}


def test_the_schema_knows_the_fields_and_defaults_that_are_read() -> None:
    (version,) = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    fields = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    assert set(fields) == FIELDS
    assert (fields["interval"]["default"], fields["paths"]["default"]) == (INTERVAL, list(PATHS))
    defaults = {name: field["default"] for name, field in fields.items() if "default" in field}
    said, unsaid = read(source(**defaults)), read(source())
    assert replace(said, pattern=unsaid.pattern) == unsaid
    assert said.pattern.text == unsaid.pattern.text
    assert all(
        key in fields["secretRef"]["description"] for keys in SECRETS.values() for key in keys if key != "identity"
    )


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (URL, ("git.example.com", 443)),
        ("https://git.example.com:8443/x", ("git.example.com", 8443)),
        ("git@git.example.com:ml/models.git", ("git.example.com", 22)),
        ("ssh://git@git.example.com:2222/x", ("git.example.com", 2222)),
    ],
)
def test_the_host_that_is_dialled_is_told_from_every_form_of_address(url: str, address: tuple[str, int]) -> None:
    assert read(source(url=url)).address == address


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"paths": ["**/a"] * 21}, "names 21 patterns"),
        ({"interval": "2h"}, "expected between 1s and 1h"),
        ({"interval": "soon"}, "spec.interval"),
        ({"write": "force"}, "expected direct, pull-request, auto"),
        ({"host": {"kind": "svn"}}, "spec.host.kind"),
        ({"token": "secret"}, "spec.token is not known"),
        ({"paths": 7}, "spec.paths is .7.; expected a list of texts"),
        ({"paths": [["a"]]}, "expected a list of texts"),
        ({"suspend": "yes"}, "spec.suspend is .yes.; expected true or false"),
        ({"secretRef": "git"}, "spec.secretRef is .git.; expected a mapping"),
        ({"host": {"kind": ["github"]}}, "spec.host"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_field(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read(source(**spec))


@given(
    spec=st.one_of(
        JSON,
        st.dictionaries(st.sampled_from(sorted(FIELDS)), JSON, max_size=4).map(lambda said: {"url": URL, **said}),
    )
)
def test_s14_any_spec_is_a_source_or_a_sentence(spec: Any) -> None:
    """Whatever schema is installed."""
    with suppress(BadInput):
        read({"metadata": {"name": "apps", "namespace": "models"}, "spec": spec})


def test_several_patterns_match_what_any_of_them_does() -> None:
    pattern = read(source(paths=["apps/*/canary.yml", "teams/**/canary.yml"])).pattern
    assert pattern.matches("apps/a/canary.yml")
    assert pattern.matches("teams/x/y/canary.yml")
    assert not pattern.matches("apps/a/b/canary.yml")


@pytest.mark.parametrize(
    "name", ["../../models/secrets/models-git", "..", "a/b", "a%2fb", "A", "a_b", "a..b", "a" * 254]
)
def test_s14_a_secret_is_one_of_the_sources_own_namespace(name: str) -> None:
    """A name with a path in it would be read with the operator's rights, and sent to an address of the source's."""
    with pytest.raises(BadInput, match=r"spec\.secretRef\.name is .*; expected the name of a Secret of this namespace"):
        read(source(secretRef={"name": name}))
    (version,) = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    field = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["secretRef"]["properties"]["name"]
    (rule,) = field["x-kubernetes-validations"]
    pattern = rule["rule"].removeprefix("self.matches('").removesuffix("')")
    assert len(name) > field["maxLength"] or not re.search(pattern, name)
    for sound in ("git", "models-git.v2", "0"):
        assert re.search(pattern, sound)
        assert read(source(secretRef={"name": sound})).secret == sound
