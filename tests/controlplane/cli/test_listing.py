"""`serinus list` and `serinus diff` on the states of simulated rollouts."""

import json
from pathlib import Path

import yaml
from click.testing import CliRunner, Result

from controlplane.cli.main import serinus


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(serinus, [str(each) for each in arguments])


def test_every_rollout_is_listed_with_where_it_is(root: Path) -> None:
    result = invoke("list", "--state", root)
    head, *rows = result.output.splitlines()
    assert head.split() == ["NAME", "PHASE", "STAGE", "WEIGHT", "SINCE", "MESSAGE"]
    assert [row.split()[:3] for row in rows] == [["chat", "RolledBack", "1/3"], ["search", "Succeeded", "3/3"]]
    assert invoke("list", "--state", root, "-o", "name").output.split() == ["chat", "search"]
    events = json.loads(invoke("list", "--state", root, "-o", "json").output)
    assert [event["result"] for event in events] == ["rolled_back", "promoted"]
    bare = invoke("list", "--state", root, "--no-headers").output.splitlines()
    assert [line.split() for line in bare] == [row.split() for row in rows]


def test_other_programs_and_curious_people_get_more(root: Path) -> None:
    head, *rows = invoke("list", "--state", root, "-o", "wide").output.splitlines()
    assert head.split()[5:] == ["STABLE", "CANARY", "ATTEMPT", "REVISION", "MESSAGE"]
    assert "v1       v2       1" in rows[0]
    told = yaml.safe_load(invoke("list", "--state", root, "-o", "yaml").output)
    assert [each["phase"] for each in told] == ["RolledBack", "Succeeded"]
    refused = invoke("list", "--state", root, "-o", "jsonpath={[*].rollout}")
    assert refused.exit_code == 2
    assert "jsonpath is not done here: pipe `-o json` into a tool such as jq" in " ".join(refused.stderr.split())
    assert "kubectl" not in refused.stderr


def test_a_state_that_cannot_be_read_is_told_and_hides_no_other(root: Path) -> None:
    (root / "bad").mkdir()
    (root / "bad" / "serinus.db").write_bytes(b"no database at all, and long enough to be taken for one" * 20)
    result = invoke("list", "--state", root, "-o", "name")
    assert result.stdout.split() == ["chat", "search"]
    assert "bad/serinus.db" in result.stderr
    assert result.exit_code == 0


def test_an_empty_folder_says_where_was_looked(tmp_path: Path) -> None:
    result = invoke("list", "--state", tmp_path)
    assert (result.exit_code, result.stdout) == (0, "")
    assert str(tmp_path) in result.stderr


def test_the_difference_of_both_variants_is_shown(root: Path) -> None:
    result = invoke("diff", "chat", "--state", root / "chat")
    assert result.output.splitlines()[0].split() == ["FIELD", "STABLE", "CANARY"]
    changed = json.loads(invoke("diff", "chat", "--state", root / "chat", "-o", "json").output)
    assert changed["command"] == {"stable": ["serve"], "canary": ["serve", "--new"]}
    missing = invoke("diff", "nobody", "--state", root)
    assert missing.exit_code == 2
    assert "There is no rollout nobody" in missing.stderr
