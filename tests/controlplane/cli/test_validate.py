"""`serinus validate`: every fault, or ok."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from controlplane.cli.validate import command, lint

EXAMPLES = Path(__file__).parents[3] / "manifests" / "examples"
GOLDEN = Path(__file__).parents[2] / "golden" / "spec"
SHORT = "model: m\nvariants: [{name: a}, {name: b}]\ntraffic_split: 95/5\n"


def validate(*arguments: str | Path, text: str | None = None) -> Result:
    """Run the command as a shell would."""
    return CliRunner().invoke(command, [str(argument) for argument in arguments], input=text)


def test_sound_files_are_ok_each_in_a_line() -> None:
    result = validate(*sorted(EXAMPLES.glob("*.canary.yml")))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == 4
    assert all(": ok: " in line for line in lines)
    assert "support-llm, bf16 to nf4 over 5% (7d), 25% (7d), 75% (7d), 100% (7d), 4 gates" in result.stdout


def test_ten_faults_get_ten_messages_as_in_the_golden_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN)
    result = validate("ten-faults.canary.yml")
    assert result.exit_code == 2
    expected = (GOLDEN / "ten-faults.txt").read_text(encoding="utf-8")
    assert result.stdout == expected + "ten-faults.canary.yml: 10 faults\n"


def test_one_file_with_faults_does_not_hide_the_others(tmp_path: Path) -> None:
    good = EXAMPLES / "four-week.canary.yml"
    result = validate(GOLDEN / "ten-faults.canary.yml", tmp_path, tmp_path / "none.yml", good)
    assert result.exit_code == 2
    assert f"{tmp_path} is a folder" in result.stdout
    assert f"{tmp_path}/none.yml does not exist" in result.stdout
    assert f"{good}: ok: " in result.stdout


def test_json_is_one_object_a_file(tmp_path: Path) -> None:
    result = validate("-o", "json", EXAMPLES / "four-week.canary.yml", GOLDEN / "ten-faults.canary.yml", tmp_path)
    assert result.exit_code == 2
    good, bad, folder = map(json.loads, result.stdout.splitlines())
    assert (good["ok"], good["name"], good["form"], good["faults"]) == (True, "support-llm", "full", [])
    assert [stage["traffic"] for stage in good["stages"]] == [0.05, 0.25, 0.75, 1.0]
    assert good["stages"][0]["gates"] == ["latency p95 <= 200ms", "error_rate <= 0.1%"]
    assert (bad["ok"], len(bad["faults"])) == (False, 10)
    assert bad["faults"][0].keys() == {"file", "line", "column", "path", "message", "excerpt"}
    assert "folder" in folder["faults"][0]["message"]


def test_standard_input_is_read_for_a_dash() -> None:
    result = validate("-", text=SHORT)
    assert result.exit_code == 0
    assert result.stdout.startswith("-: ok: m, a to b over 5% (1h)")
    assert validate("-", text="a: [").stdout.startswith("<stdin>:1:5: ")


def test_settings_complete_short_forms_and_are_of_no_use_to_full_ones(tmp_path: Path) -> None:
    settings = tmp_path / "mine.yml"
    settings.write_text("stages: [{traffic: 50%, hold: 2h}, {traffic: 100%}]\n")
    result = validate("--settings", settings, "-", text=SHORT)
    assert "over 5% (2h), 50% (2h), 100%" in result.stdout
    full = validate("--settings", settings, EXAMPLES / "four-week.canary.yml")
    assert full.exit_code == 0
    assert "is not used" in full.stderr


def test_for_local_also_says_what_cannot_run_here() -> None:
    path = EXAMPLES / "prompt-split.canary.yml"
    assert validate(path).exit_code == 0
    result = validate("--for", "local", path)
    assert result.exit_code == 2
    assert "spec.stable.command: is missing" in result.stdout
    assert "2 faults" in result.stdout


def test_lint_is_the_check_for_this_machine(tmp_path: Path) -> None:
    (tmp_path / "rest.yml").write_text(SHORT)
    for file in (EXAMPLES / "prompt-split.canary.yml", tmp_path / "rest.yml", tmp_path / "none.yml"):
        linted, checked = CliRunner().invoke(lint, [str(file)]), validate("--for", "local", file)
        assert (linted.exit_code, linted.stdout) == (checked.exit_code, checked.stdout)
        assert linted.exit_code == 2


def test_at_least_one_file_is_asked_for() -> None:
    assert validate().exit_code == 2


PROFILED = """\
metadata: {name: chat}
spec:
  model: {name: chat, uri: hf://meta-llama/Llama-3.1-8B}
  stable: {name: a, profile: {gpu: L999}}
  canary: {name: b, quantization: fp8, profile: {gpu: A100}}
  stages: [{traffic: 100%}]
"""


def test_a_variant_that_cannot_run_on_its_gpus_is_a_fault_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "canary.yml"
    file.write_text(PROFILED)
    result = validate(file)
    assert result.exit_code == 2
    assert f"{file}:5:35: spec.canary.quantization: fp8 needs compute capability 8.9" in result.stdout
    assert "1 fault" in result.stdout


def test_what_the_catalogue_does_not_know_is_a_warning(tmp_path: Path) -> None:
    """The plan stays valid; a catalogue of one's own makes it known."""
    file, mine = tmp_path / "canary.yml", tmp_path / "mine.yml"
    file.write_text(PROFILED.replace("A100", "H100"))
    result = validate(file)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{file}: ok: ")
    assert f"{file}:4:36: warning: spec.stable.profile.gpu: GPU 'L999' is not in the catalogue." in result.stderr
    plain = json.loads(validate("-o", "json", file).stdout)
    assert (plain["ok"], [warning["path"] for warning in plain["warnings"]]) == (True, ["spec.stable.profile.gpu"])
    mine.write_text("gpus: {L999: {memory_gib: 90, bandwidth: 2000, fp16: 700, capability: 9}}\n")
    assert validate("--catalogue", mine, file).stderr == ""


def test_a_catalogue_that_cannot_be_read_is_bad_input(tmp_path: Path) -> None:
    result = validate("--catalogue", tmp_path / "none.yml", EXAMPLES / "four-week.canary.yml")
    assert result.exit_code == 2
    assert "none.yml cannot be read" in result.stderr


def test_a_gate_on_cost_runs_here_where_the_price_is_known(tmp_path: Path) -> None:
    """From the catalogue, or stated in the plan."""
    plan = PROFILED.replace("spec:", "spec:\n  gates: [cost_per_1m_tokens <= $0.40]").replace("A100", "H100")
    plan = plan.replace("name: a,", "name: a, command: [old],").replace("name: b,", "name: b, command: [new],")
    file = tmp_path / "canary.yml"
    file.write_text(plan)
    unknown = validate("--for", "local", file)
    assert unknown.exit_code == 2
    assert "spec.gates[0]: nobody knows the price of L999" in unknown.stdout
    file.write_text(plan.replace("gpu: L999", "gpu: L999, price: $2"))
    assert validate("--for", "local", file).exit_code == 0


AT_REST = """\
metadata: {name: chat}
spec:
  model: {name: chat}
  stable: {name: v2, uri: "hf://org/chat-v2"}
  canary: {name: v2, uri: "hf://org/chat-v2"}
  stages: [{traffic: 5%, hold: 1h}, {traffic: 100%}]
"""


def test_a_file_at_rest_is_in_order(tmp_path: Path) -> None:
    """After a promotion or a rollback there is nothing to try, and nothing wrong."""
    file = tmp_path / "canary.yml"
    file.write_text(AT_REST)
    result = validate(file)
    assert (result.exit_code, "at rest" in result.stdout) == (0, True)
    file.write_text(AT_REST.replace('canary: {name: v2, uri: "hf://org/chat-v2"}', "canary: {name: v2, uri: x}"))
    assert validate(file).exit_code == 2
    file.write_text(AT_REST.replace("5%", "five"))
    assert validate(file).exit_code == 2


def test_a_plan_for_a_cluster_is_checked_for_a_cluster(tmp_path: Path) -> None:
    """The same file may be sound, and not for there."""
    assert validate("--for", "cluster", EXAMPLES / "four-week.canary.yml").exit_code == 0
    shadow = validate("--for", "cluster", EXAMPLES / "shadow.canary.yml")
    assert shadow.exit_code == 2
    assert "spec.shadow: no requests are copied in a cluster yet" in shadow.stdout
    assert "spec.platform: runs on one machine" in validate("--for", "cluster", "-", text=SHORT).stdout
    native = tmp_path / "native.yml"
    native.write_text(
        "metadata: {name: a}\nspec:\n  model: {name: m, uri: hf://a/b}\n  platform: {kserve: {mode: native}}\n"
        "  stable: {name: v1}\n  canary: {name: v2}\n  stages: [{traffic: 100%}]\n",
        encoding="utf-8",
    )
    noted = validate("--for", "cluster", native)
    assert noted.exit_code == 0
    assert "warning: spec.platform.kserve.mode: " in noted.stderr


def test_a_query_is_said_to_have_no_guarantee_and_two_counters_are_not(tmp_path: Path) -> None:
    """The file is sound; what its owner may take for a test is none."""
    tested = (EXAMPLES / "four-week.canary.yml").read_text(encoding="utf-8")
    counted = tested.replace("events: checkout_completed_total ", "query: a / b ").replace(
        "of: chat_sessions_total", ""
    )
    for text, said in ((tested, False), (counted, True)):
        file = tmp_path / "canary.yml"
        file.write_text(text, encoding="utf-8")
        result = validate(file)
        assert result.exit_code == 0
        assert ("warning: spec.stages[1].gates[0].query: has no bound on false rollbacks" in result.stderr) is said
