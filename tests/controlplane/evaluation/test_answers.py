"""Answers are kept, by who was asked what and how, and are nobody else's to read."""

import stat
from pathlib import Path

import pytest

from canary.errors import BadInput
from canary.evaluation.item import Item
from canary.evaluation.scorer import Completion, ToolCall
from controlplane.evaluation.answers import FILE, AnswerStore, key_of

ITEM = Item("a", ({"role": "user", "content": "?"},))
KEY = key_of("v1", ITEM, {"model": "m"})


async def test_an_answer_comes_back_whole_from_another_process(tmp_path: Path) -> None:
    said = Completion("Bern \ud83d\u2028", (ToolCall("f", "{}"),), "stop")
    store = AnswerStore(tmp_path / "s")
    await store.keep(KEY, said, lasting=False)
    await store.close()
    other = AnswerStore(tmp_path / "s")
    assert await other.find(KEY) == said
    assert await other.find(key_of("v2", ITEM, {"model": "m"})) is None
    await other.close()
    assert stat.S_IMODE((tmp_path / "s" / FILE).stat().st_mode) == 0o600


def test_an_answer_belongs_to_variant_question_and_parameters() -> None:
    others = [
        key_of("v2", ITEM, {"model": "m"}),
        key_of("v1", Item("a", ({"role": "user", "content": "!"},)), {"model": "m"}),
        key_of("v1", ITEM, {"model": "m", "max_tokens": 5}),
        key_of("v1", Item("a", ITEM.messages, tools=({"type": "function"},)), {"model": "m"}),
    ]
    assert len({KEY, *others}) == 5
    assert key_of("v1", Item("b", ITEM.messages, "expected", line=9), {"model": "m"}) == KEY


async def test_what_is_forgotten_leaves_only_answers_of_variants_with_a_version(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path)
    lasting = key_of("version 1", ITEM, {})
    await store.keep(KEY, Completion("a"), lasting=False)
    await store.keep(lasting, Completion("b"), lasting=True)
    await store.note("r", 0, {"id": "a"})
    assert await store.latest() is None
    await store.end("r", {"verdict": "pass"})
    assert await store.find(KEY) == Completion("a")
    await store.forget()
    assert await store.latest() == ({"verdict": "pass"}, [{"id": "a"}])
    assert await store.find(KEY) is None
    assert await store.find(lasting) == Completion("b")
    await store.close()


async def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("not a database, but long enough to be taken for one" * 100)
    store = AnswerStore(tmp_path)
    with pytest.raises(BadInput, match="cannot be kept or read"):
        await store.find(KEY)
    await store.close()
