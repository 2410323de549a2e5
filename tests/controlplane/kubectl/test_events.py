"""`kubectl canary events`: those about this very object, in order."""

from controlplane.kubernetes.resources import EVENT
from tests.controlplane.kubectl.desk import PLACE, broken, desk


def test_events_about_others_are_left_out() -> None:
    person = desk(broken)
    stranger = {"metadata": {"namespace": PLACE, "name": "x"}, "regarding": {"uid": "other"}, "note": "not ours"}
    person.kube.seed(EVENT, stranger)
    told = person("events", "chat").stdout
    assert told.splitlines()[0].split() == ["LAST", "SEEN", "TYPE", "REASON", "MESSAGE"]
    assert "not ours" not in told
    reasons = [line.split() for line in told.splitlines()[1:]]
    assert "Accepted" in reasons[0]
    assert any("Warning" in line and "GateFailed" in line for line in reasons)
    assert "TrafficBack" in reasons[-1]


def test_a_rollout_without_any_says_so() -> None:
    person = desk(broken)
    for namespace, name in list(person.kube.objects(EVENT)):
        person.kube.server.delete(EVENT, (namespace, name), "")
    told = person("events", "chat")
    assert (told.exit_code, told.stdout) == (0, "")
    assert "keeps no Events about chat" in told.stderr
