"""S8: schemathesis calls every described route with whatever the description allows, with and without the token.

Few examples, so that everybody runs them at every change.
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
from tests.controlplane.api.serving import Serving, serving

Operation = schemathesis.APIOperation[Any, Any, Any, Any]
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


def operations(served: Serving) -> list[Operation]:
    """Every described operation but the stream, which never ends."""
    with served.client() as client:
        described = json.loads(client.get("/api/v1/openapi.json").text)
    del described["paths"]["/api/v1/rollouts/{id_}/stream"]
    schema = schemathesis.openapi.from_dict(described)
    return [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]


@pytest.mark.parametrize("token", [None, ""])
def test_whatever_the_description_allows_is_answered_as_described(served: Serving, token: str | None) -> None:
    """No server error, only described answers; without a token only health answers."""
    found = operations(served)
    assert len(found) == 9
    for operation in found:
        _try(served, operation, token)


def _try(served: Serving, operation: Operation, token: str | None) -> None:
    with served.client(token) as client:

        @QUICK
        @given(case=operation.as_strategy(), name=st.sampled_from(["fraud-scorer", None]))
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
                assert answer.status_code == 401
            else:
                assert str(answer.status_code) in operation.definition.raw["responses"], answer.text

        call()


def test_nothing_was_changed_by_all_that(served: Serving) -> None:
    with served.client() as client:
        assert client.get("/api/v1/rollouts/fraud-scorer").json()["waiting"] == []


def test_the_state_home_is_untouched(served: Serving) -> None:
    assert sorted(path.name for path in Path(served.home).iterdir()) == ["dashboard-token", "fraud-scorer"]
