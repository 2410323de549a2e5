"""`kubectl canary get`: the screen from the record, readiness from pods, and lines where there is no terminal."""

import asyncio
import json

from controlplane.kubernetes.api import Rejected
from controlplane.kubernetes.resources import DEPLOYMENT, INFERENCE_SERVICE, MODEL_CANARY, POD
from tests.controlplane.kubectl.desk import PLACE, broken, desk, good, under_way


def test_the_screen_has_traffic_gates_and_the_next_commands() -> None:
    told = desk(under_way)("get", "chat", "-n", "models").output
    assert "analyzing  stage 1 of 2" in told
    assert "5 %" in told
    assert "error_rate" in told
    assert "promote: kubectl canary promote chat -n models stop: kubectl canary abort chat -n models" in " ".join(
        told.split()
    )
    assert "no metrics yet" not in told


def test_after_a_rollback_the_cause_stands_first_and_how_to_try_again() -> None:
    person = desk(broken)
    cause = person("why", "chat").output.splitlines()[1]
    told = person("get", "chat").output
    assert " ".join(told.split()).find(" ".join(cause.split())[:60]) > 0
    assert "kubectl canary retry chat" in told


def test_a_rollout_from_git_names_its_commit_author_path_and_line() -> None:
    """In `get` and in `why`; one that was applied by hand has no such line."""
    person = desk(under_way)
    assert "git:" not in person("get", "chat").output + person("why", "chat").output
    told = {
        "commit": "4f2c1e9" + "0" * 33,
        "author": "Ann",
        "path": "apps/chat/canary.yml",
        "line": "11",
        "subject": "v2",
    }
    annotations = {f"git.serinus.dev/{key}": value for key, value in told.items()}
    asyncio.run(person.kube.patch(MODEL_CANARY, PLACE, "chat", {"metadata": {"annotations": annotations}}))
    for verb in ("get", "why"):
        assert "git: 4f2c1e9 by Ann, apps/chat/canary.yml:11: v2" in person(verb, "chat").output


def test_readiness_is_what_the_pods_say() -> None:
    """The record alone would call a canary ready whose pods are not."""
    person = desk(under_way)
    for variant in ("v1", "v2"):
        service = f"chat-{variant}"
        meta = {"namespace": PLACE, "labels": {"serving.kserve.io/inferenceservice": service}}
        person.kube.seed(INFERENCE_SERVICE, {"metadata": meta | {"name": service}, "spec": {"predictor": {}}})
        person.kube.seed(DEPLOYMENT, {"metadata": meta | {"name": f"{service}-predictor"}, "spec": {"replicas": 1}})
        conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
        status = {"conditions": conditions} if variant == "v1" else {"phase": "Pending"}
        person.kube.seed(POD, {"metadata": meta | {"name": service}, "spec": {}, "status": status})
    stable, canary = (
        line for line in person("get", "chat").output.splitlines() if line.strip().startswith(("stable", "canary"))
    )
    assert stable.endswith("✔ ready")
    assert "0 of 1 ready" in canary


def test_who_may_not_read_pods_sees_what_the_record_implies() -> None:
    person = desk(under_way)
    person.kube.fail_next(Rejected("pods is forbidden"), resource=POD, times=2)
    assert person("get", "chat").exit_code == 0


def test_watching_an_ended_rollout_appends_its_lines_and_leaves() -> None:
    told = desk(good)("get", "chat", "-w")
    assert told.exit_code == 0
    assert "end      promoted" in told.stdout.splitlines()[-1]
    assert "\x1b" not in told.stdout
    assert desk(broken)("get", "chat", "-w").exit_code == 1


def test_watching_as_json_is_one_event_a_line() -> None:
    lines = [json.loads(line) for line in desk(good)("get", "chat", "-w", "-o", "json").stdout.splitlines()]
    assert [line["id"] for line in lines] == [f"chat/1/{number}" for number in range(1, len(lines) + 1)]
    assert lines[-1]["result"] == "promoted"


def test_json_is_the_object_and_a_name_with_its_kind_is_understood() -> None:
    person = desk(good)
    told = json.loads(person("get", "modelcanary.serinus.dev/chat", "-o", "json").stdout)
    assert told == person.kube.objects(MODEL_CANARY)[PLACE, "chat"]


def test_watching_has_no_yaml() -> None:
    assert desk(good)("get", "chat", "-w", "-o", "yaml").exit_code == 2
