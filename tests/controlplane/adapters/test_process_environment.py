"""A server gets what it runs by, and nobody's passwords."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.adapters.process_environment import NAMES, for_own_program, for_server, hint

OURS = {
    "PATH": "/bin",
    "HOME": "/home/ann",
    "LC_TIME": "C",
    "CUDA_VISIBLE_DEVICES": "0",
    "HF_HOME": "/data/hf",
    "https_proxy": "http://proxy:3128",
    "VLLM_LOGGING_LEVEL": "INFO",
    "TOKENIZERS_PARALLELISM": "false",
    "VLLM_API_KEY": "s",
    "SMTP_PASSWORD": "s",
    "HF_TOKEN": "s",
    "AWS_SECRET_ACCESS_KEY": "s",
    "SSH_AUTH_SOCK": "/run/agent",
    "DATABASE_URL": "postgres://u:s@db",
    "MY_FLAG": "1",
}
TUNING = {"LC_TIME", "CUDA_VISIBLE_DEVICES", "HF_HOME", "https_proxy", "VLLM_LOGGING_LEVEL", "TOKENIZERS_PARALLELISM"}


def test_s7_a_server_gets_a_short_environment_and_what_the_plan_names() -> None:
    assert for_server(OURS).keys() == {"PATH", "HOME", *TUNING}
    assert for_server(OURS, ["HF_TOKEN", "MY_FLAG", "UNSET"]).keys() == {"PATH", "HOME", *TUNING, "HF_TOKEN", "MY_FLAG"}


def test_s7_our_own_programs_get_the_least() -> None:
    assert for_own_program(OURS) == {"PATH": "/bin", "HOME": "/home/ann"}


@given(
    st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ_", min_size=1), st.sampled_from(["KEY", "TOKEN", "SECRET", "PASSWD"])
)
def test_s7_no_name_that_looks_like_a_credential_s_is_passed_on_unasked(before: str, word: str) -> None:
    name = f"{before}_{word}"
    assert name in NAMES or name not in for_server({name: "s"})


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("KeyError: 'MY_FLAG'", ["MY_FLAG"]),
        ("OSError: You need to set HF_TOKEN", ["HF_TOKEN"]),
        ("401 Client Error: Unauthorized for url: https://huggingface.co/api/models/meta-llama", ["HF_TOKEN"]),
        ("Cannot access gated repo for url https://huggingface.co/meta-llama", ["HF_TOKEN"]),
        ("CUDA out of memory", []),
        ("HF_TOKENS and XMY_FLAG are other names", []),
    ],
)
def test_a_server_that_ends_for_lack_of_a_variable_is_told_how_it_gets_one(words: str, named: list[str]) -> None:
    ours = {name: OURS[name] for name in ("PATH", "HF_TOKEN", "MY_FLAG")}
    said = hint(words, ours, {}, [])
    assert all(name in said for name in named)
    assert ("write passEnv" in said) is bool(named)
    assert hint(words, ours, {"HF_TOKEN": "x"}, ["MY_FLAG"]) == ""


def test_a_variable_that_is_to_be_passed_on_and_is_not_set_is_named() -> None:
    assert hint("", OURS, {}, ["UNSET"]) == "passEnv names UNSET, which is not set where Serinus runs"
