"""What a file in git wants of a cluster, and what it cannot want."""

import pytest

from controlplane.gitops.desired import FileError
from controlplane.gitsources.plans import Manifest, for_namespace
from tests.controlplane.gitsources.estate import file, path_of

PATH = path_of("chat")


def at_rest(name: str) -> bytes:
    """A file that names nothing to try."""
    text = file("chat", "v1").replace("{name: chat}", f"{{name: {name}}}").replace("seed: 2", "seed: 1")
    return text.encode()


def test_a_file_at_rest_becomes_a_resource_of_its_name() -> None:
    found = for_namespace("models")(PATH, at_rest("chat"), None)
    assert isinstance(found, Manifest)
    assert found.plan is None
    assert found.object["metadata"] == {"name": "chat", "namespace": "models"}


@pytest.mark.parametrize("name", ["../../victim/modelcanaries/chat", "..", "chat?force=true", "chat.v1", "1chat"])
def test_s14_a_file_at_rest_names_a_resource_of_its_own_namespace(name: str) -> None:
    """No parser of plans has seen it, and the operator writes to what it names."""
    found = for_namespace("models")(PATH, at_rest(name), None)
    assert isinstance(found, FileError)
    assert found.sentence.startswith(f"{PATH}:")
    assert "metadata.name" in found.sentence
    assert "expected a" in found.sentence
