"""A plan full of markers in every place where a credential may stand, and every face that shows a rollout."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from controlplane.cli.main import serinus
from controlplane.kubernetes.resources import MODEL_CANARY
from tests.controlplane.api import homes
from tests.controlplane.api.serving import serving
from tests.controlplane.kubectl.desk import Desk, desk
from tests.controlplane.operator.town import Town, a_spec

MARKER = "marker-c4n4ry"
LOCAL = (
    ("list", "-o", "wide"),
    ("list", "-o", "json"),
    ("get",),
    ("get", "-o", "json"),
    ("get", "-o", "yaml"),
    ("status",),
    ("status", "-o", "json"),
    ("why",),
    ("history",),
    ("history", "-o", "json"),
    ("events",),
    ("events", "-o", "json"),
    ("diff",),
    ("diff", "-o", "json"),
    ("report",),
    ("report", "-o", "text"),
)
CLUSTER = tuple(words for words in LOCAL if words not in {("get", "-o", "json"), ("get", "-o", "yaml"), LOCAL[1]})
"""But `get -o json`, which is the resource itself, as `kubectl get` has it for whoever may read it."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rollout of this machine with the marker in its plan."""
    folder = tmp_path_factory.mktemp("home")
    homes.under_way(folder, secret=MARKER)
    return folder


async def marked(town: Town) -> None:
    """A canary in a cluster, rolled back, with the marker in its plan."""
    canary: dict[str, Any] = {
        "name": "v2",
        "env": {"HF_TOKEN": MARKER, "DATABASE_URL": f"postgres://u:{MARKER}@db/x"},
        "engine": {"apiKey": MARKER},
        "uri": f"https://u:{MARKER}@models.example.com/x",
    }
    await town.apply(spec=a_spec() | {"canary": canary})
    await town.until(lambda: town.status().get("stage") == 1)
    town.place().broken_since = town.clock.now()
    await town.until(town.at_rest)


@pytest.fixture(scope="module")
def person() -> Desk:
    """Somebody with kubectl."""
    return desk(marked)


@pytest.mark.parametrize("words", LOCAL, ids=" ".join)
def test_s7_no_face_on_one_machine_shows_a_credential_of_a_plan(home: Path, words: tuple[str, ...]) -> None:
    verb, *flags = words
    place = ["--state", str(home)] if verb == "list" else ["support-llm", "--state", str(home / "support-llm")]
    told = CliRunner().invoke(serinus, [verb, *place, *flags])
    assert (told.exit_code, told.exception) == (0, None), told.output
    assert "support-llm" in told.output or verb in {"diff", "events", "history", "why"}
    assert MARKER not in told.output


def test_s7_no_page_and_no_answer_of_the_api_shows_a_credential_of_a_plan(home: Path) -> None:
    with serving(home) as served, served.client() as client:
        found = "/api/v1/rollouts/support-llm"
        pages = [
            client.get(path).text
            for path in ("/api/v1/rollouts", found, f"{found}/events", f"{found}/series", "/metrics", "/")
        ]
        with client.stream("GET", f"{found}/stream") as stream:
            pages.append(next(stream.iter_text()))
    assert MARKER not in "".join(pages)
    assert "HF_TOKEN: (hidden)" in json.loads(pages[1])["plan"]
    assert "https://<redacted>@models.example.com/x" in json.loads(pages[1])["plan"]


@pytest.mark.parametrize("words", CLUSTER, ids=" ".join)
def test_s7_no_face_of_a_cluster_shows_a_credential_of_a_plan(person: Desk, words: tuple[str, ...]) -> None:
    verb, *flags = words
    told = person(verb, *([] if verb == "list" else ["chat"]), *flags)
    assert told.exception is None or isinstance(told.exception, SystemExit)
    assert told.stdout
    assert MARKER not in told.output


def test_s7_the_resource_itself_is_what_kubectl_shows(person: Desk) -> None:
    """The marker is really there: none of the tests above is true for want of it."""
    assert MARKER in json.dumps(list(person.kube.objects(MODEL_CANARY).values()))
    assert "(hidden)" in person("diff", "chat").stdout
