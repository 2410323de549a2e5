"""S8: schemathesis calls every described route with whatever the description allows, with and without a token.

On one machine, and in a cluster where people sign in. Few examples, so that everybody runs them at every change.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok

from tests.controlplane.api import homes
from tests.controlplane.api.clusters import Shown, showing
from tests.controlplane.api.serving import Serving, serving
from tests.controlplane.kubectl.desk import broken

Operation = schemathesis.APIOperation[Any, Any, Any, Any]
PEOPLE = {"viewer-token", "editor-token", "stranger-token"}
QUICK = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server whose rollout has ended, so that no generated request can change anything."""
    home = tmp_path_factory.mktemp("home")
    homes.put_back(home)
    with serving(home) as served:
        yield served


@pytest.fixture(scope="module")
def shown() -> Iterator[Shown]:
    """A dashboard in a cluster that people sign in to, with a rollout that was put back."""
    with showing(broken, sign_in=True) as shown:
        yield shown


def operations(served: Serving | Shown, token: str | None = None) -> list[Operation]:
    """Every described operation but the stream, which never ends."""
    with served.client(token) if token else served.client() as client:
        described = json.loads(client.get("/api/v1/openapi.json").text)
    del described["paths"]["/api/v1/rollouts/{id_}/stream"]
    schema = schemathesis.openapi.from_dict(described)
    return [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]


@pytest.mark.parametrize("token", [None, ""])
def test_s8_whatever_the_description_allows_is_answered_as_described(served: Serving, token: str | None) -> None:
    """No server error, only described answers; without a token only health answers."""
    found = operations(served)
    assert len(found) == 9
    for operation in found:
        _try(served, operation, token, "fraud-scorer")


@pytest.mark.parametrize("token", ["viewer-token", "editor-token", "stranger-token", "wrong-audience-token", ""])
def test_s8_in_a_cluster_too_whoever_asks(shown: Shown, token: str) -> None:
    """Nobody's token is answered as no token is; the routes are those of one machine, without the metrics."""
    found = operations(shown, "viewer-token")
    assert len(found) == 10
    for operation in found:
        _try(shown, operation, token if token in PEOPLE else "", "models~chat")


def _try(served: Serving | Shown, operation: Operation, token: str | None, rollout: str) -> None:
    with served.client() if token is None else served.client(token) as client:

        @QUICK
        @given(case=operation.as_strategy(), name=st.sampled_from([rollout, None]))
        def call(case: schemathesis.Case[Any], name: str | None) -> None:
            if name and "id_" in (case.path_parameters or {}):
                case.path_parameters["id_"] = name
            arguments = case.as_transport_kwargs(base_url=served.url)
            answer = client.request(
                arguments["method"],
                arguments["url"],
                params=arguments.get("params"),
                json=arguments.get("json"),
                headers={"authorization": client.headers.get("authorization", "")},
            )
            assert answer.status_code < 500, answer.text
            if token == "" and operation.path not in {"/healthz", "/readyz"}:
                # Signing in needs the origin of our own page, which nobody here has.
                assert answer.status_code == (403 if _signs_in(operation) else 401)
            else:
                assert str(answer.status_code) in operation.definition.raw["responses"], answer.text

        call()


def _signs_in(operation: Operation) -> bool:
    return (operation.method.upper(), operation.path) == ("POST", "/api/v1/session")


def test_s8_nothing_was_changed_by_all_that(served: Serving) -> None:
    with served.client() as client:
        assert client.get("/api/v1/rollouts/fraud-scorer").json()["waiting"] == []


def test_the_state_home_is_untouched(served: Serving) -> None:
    assert sorted(path.name for path in Path(served.home).iterdir()) == ["dashboard-token", "fraud-scorer"]
