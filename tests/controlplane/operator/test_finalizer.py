"""What a deleted ModelCanary leaves behind, by KServe's mode."""

import pytest

from controlplane.operator.finalizer import what_serves_on
from controlplane.operator.spec_reader import read
from tests.controlplane.operator import test_modes
from tests.controlplane.operator.town import a_canary as a_standard_one


@pytest.mark.parametrize(
    ("mode", "objects"),
    [
        ("knative", "inferenceservice/chat"),
        ("native", "inferenceservice/chat"),
        ("llm", "llminferenceservice/chat-v1"),
        ("standard", "httproute/chat inferenceservice/chat-v1"),
    ],
)
def test_the_command_that_removes_the_rest_names_what_is_there(mode: str, objects: str) -> None:
    plan = read(a_standard_one() if mode == "standard" else test_modes.a_canary(mode)).plan
    assert plan is not None
    said = what_serves_on(plan, None, "models")
    assert said.endswith(
        f"v1 serves on, with all of the traffic. To remove that too: kubectl -n models delete {objects}"
    )
