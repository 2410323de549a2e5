"""What one file wants, and who gets a name that several claim."""

import pytest

from canary.spec import Source
from controlplane.gitops.desired import DesiredRollout, FileError, arms_of, parse_file, resolve_ownership
from tests.controlplane.gitops.town import file

PATH = "apps/chat/canary.yml"


def wanted(text: str, settings: str = "", path: str = PATH) -> DesiredRollout:
    found = parse_file(path, text.encode(), Source("apps/chat/serinus.yml", settings) if settings else None)
    assert isinstance(found, DesiredRollout), found
    return found


def test_a_plan_knows_its_name_its_line_and_its_revision() -> None:
    found = wanted(file("chat", "v2"))
    assert (found.name, found.line) == ("chat", 11)
    assert found.plan is not None
    assert len(found.revision) == 16


@pytest.mark.parametrize(
    ("text", "settings", "name"),
    [
        (file("chat", "v1"), "", "chat"),
        ("model: my-org/Chat\nvariants: [{name: a}, {name: a}]\ntraffic_split: 95/5\n", "", "chat"),
        ("model: x\nvariants: [{name: a}, {name: a}]\ntraffic_split: 95/5\n", "metadata: {name: chat}\n", "chat"),
    ],
)
def test_a_file_at_rest_keeps_its_name_and_names_nothing_to_try(text: str, settings: str, name: str) -> None:
    found = wanted(text, settings)
    assert (found.name, found.plan, found.revision) == (name, None, "")


@pytest.mark.parametrize("name", ["../../../tmp/x", "..", "a/b", "Chat", "a b", "a" * 64, '"a\\0b"'])
def test_s14_a_file_at_rest_has_a_name_like_any_other(name: str) -> None:
    """No parser of plans has seen it, and folders and addresses are made of it."""
    found = parse_file(PATH, file("chat", "v1").replace("{name: chat}", f"{{name: {name}}}").encode(), None)
    assert isinstance(found, FileError)
    assert "metadata.name" in found.sentence
    assert "expected a name of at most 63 lower-case letters" in found.sentence


@pytest.mark.parametrize("text", [b"", b"\xff\xfea", b"version https://git-lfs.github.com/spec/v1\n", b"#" * 300_000])
def test_s1_a_file_that_is_no_plan_is_a_complaint_with_its_place(text: bytes) -> None:
    """Empty, another encoding, a pointer of Git LFS, far too large."""
    found = parse_file(PATH, text, None)
    assert isinstance(found, FileError)
    assert found.sentence.startswith(f"{PATH}:")


def test_a_plan_for_a_cluster_is_refused_on_this_machine() -> None:
    text = file("chat", "v2").replace('local: {listen: "127.0.0.1:0"}', "kserve: {}")
    found = parse_file(PATH, text.encode(), None)
    assert isinstance(found, FileError)
    assert "runs in a cluster" in found.sentence


def test_an_evaluation_is_refused_for_a_plan_from_git_with_what_to_do() -> None:
    """Its data set stands beside it in the repository, and nothing fetches that yet."""
    text = file("chat", "v2").replace(
        "  stages:", "  evaluation: {dataset: a.jsonl, metrics: [exact >= stable]}\n  stages:", 1
    )
    refused = parse_file(PATH, text.encode(), None)
    assert isinstance(refused, FileError)
    assert "run `serinus eval run` before you merge" in refused.sentence


def test_a_canary_that_its_gpus_cannot_run_is_refused_before_it_starts() -> None:
    text = file("chat", "v2").replace("name: v2", "name: v2\n    quantization: fp8\n    profile: {gpu: A100}")
    text = text.replace("{name: m}", "{name: m, uri: hf://meta-llama/Llama-3.1-8B-Instruct}")
    found = parse_file(PATH, text.encode(), None)
    assert isinstance(found, FileError)
    assert "compute capability" in found.sentence


def test_the_digest_of_the_variants_does_not_see_how_they_are_written() -> None:
    """Comments and form change nothing; another value does."""
    from canary.yaml_edit import Written

    one = "spec:\n  stable: {name: a}\n  canary: {name: b}\n"
    other = "spec:\n  canary:   # tried\n    name: b\n  stable:\n    name: a\n"
    digests = [arms_of(Written.of(text).root) for text in (one, other, one.replace("b}", "c}"))]
    assert digests[0] == digests[1] != digests[2]


def test_of_claimants_the_owner_keeps_the_name_and_strangers_get_nothing() -> None:
    """Also while the owner cannot be read."""
    mine, theirs = wanted(file("chat", "v2")), wanted(file("chat", "v3"), path="apps/copy/canary.yml")
    granted, complaints = resolve_ownership([mine, theirs], {"chat": PATH})
    assert granted == {"chat": mine}
    assert [complaint.path for complaint in complaints] == ["apps/copy/canary.yml"]
    granted, complaints = resolve_ownership([mine, theirs], {})
    assert (granted, len(complaints)) == ({}, 2)
    granted, complaints = resolve_ownership([theirs], {"chat": PATH}, {PATH})
    assert (granted, len(complaints)) == ({}, 1)
    assert resolve_ownership([theirs], {"chat": PATH}) == ({"chat": theirs}, [])


def test_of_two_names_for_one_model_in_one_place_the_one_that_has_it_keeps_it() -> None:
    """Two that are new get nothing; what runs is never taken away; two models, or two places, are no conflict."""
    at = [file(name, "v2").replace("127.0.0.1:0", "127.0.0.1:8080") for name in ("chat", "talk")]
    mine, theirs = wanted(at[0]), wanted(at[1], path="apps/talk/canary.yml")
    granted, complaints = resolve_ownership([mine, theirs], {"chat": PATH})
    assert granted == {"chat": mine}
    (complaint,) = complaints
    assert complaint.sentence == (
        'apps/talk/canary.yml:11: the model "m" at 127.0.0.1:8080 is claimed by apps/chat/canary.yml:11 too; '
        "what has it already keeps it."
    )
    granted, complaints = resolve_ownership([mine, theirs], {})
    assert (granted, len(complaints)) == ({}, 2)
    assert all("neither is started" in each.sentence for each in complaints)
    assert resolve_ownership([mine, theirs], {"chat": PATH, "talk": "apps/talk/canary.yml"})[1] == []
    elsewhere = wanted(at[1].replace("8080", "8081"), path="apps/talk/canary.yml")
    other = wanted(at[1].replace("name: m}", "name: n}"), path="apps/talk/canary.yml")
    for each in (elsewhere, other, wanted(file("talk", "v2"), path="apps/talk/canary.yml")):
        assert resolve_ownership([mine, each], {})[1] == []
