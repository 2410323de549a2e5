"""The strict YAML reader: what it reads, what it refuses, and that hostile input costs no more than honest input."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary.errors import Fault
from canary.spec.reader import ALIAS_LIMIT, DEPTH_LIMIT, NODE_LIMIT, SIZE_LIMIT, Node, of_python, read
from canary.spec.source import Place, Plain, Source

ALIAS_BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [" + ", ".join([f"*{chr(97 + i)}"] * 10) + "]\n" for i in range(9)
)
HOSTILE: dict[str, str | bytes] = {
    "an alias bomb": ALIAS_BOMB,
    "a list ten thousand levels deep": "[" * 10_000,
    "a mapping ten thousand levels deep": "{a: " * 10_000,
    "a block ten thousand levels deep": "- " * 10_000,
    "an alias inside what it repeats": "a: &a [*a]",
    "a chain of aliases that is deep": "".join(
        f"{chr(97 + i)}: &{chr(97 + i)} " + "[" * 20 + (f"*{chr(96 + i)}" if i else "x") + "]" * 20 + "\n"
        for i in range(20)
    ),
    "aliases of a long text": "a: &a " + "x" * 100_000 + "\nb: [" + ", ".join(["*a"] * 90) + "]",
    "a file of fifty megabytes": "a: " + "x" * 50_000_000,
    "fifty megabytes of bytes": b"\x00" * 50_000_000,
    "a quarter of a megabyte of values": "[" + "a," * (SIZE_LIMIT // 2 - 10) + "]",
    "a quarter of a megabyte of keys": "{" + "".join(f"{i}: 1, " for i in range(SIZE_LIMIT // 12)) + "}",
    "a quarter of a megabyte of anchors": "&a " * (SIZE_LIMIT // 4),
    "an object of Python": "a: !!python/object/apply:os.system [echo]",
    "a name of Python": "!!python/name:os.system",
    "a tag of one's own": "a: !secret x",
    "two documents": "a: 1\n---\nb: 2\n",
    "a tab that indents": "a:\n\tb: 1\n",
    "a NUL": "a: \x00b\n",
    "a bell": b"a: \x07\n",
    "a lone surrogate": "a: \ud800\n",
    "UTF-16": "a: 1\n".encode("utf-16"),
    "UTF-16 without a mark": "a: 1\n".encode("utf-16-le"),
    "UTF-32": "a: 1\n".encode("utf-32"),
    "Latin-1": "a: café\n".encode("latin-1"),
    "nothing": "",
    "blanks": " \n\n",
    "comments": "# nothing\n",
    "an alias without anchor": "a: *b",
    "a quote that is not closed": 'a: "x',
    "a list that is not closed": "a: [1, 2\nb: 3",
    "a mapping that is not closed": "a: {b: 1\nc: 3",
    "a key twice": "a: 1\na: 2\n",
    "a mapping for a key": "{a: 1}: 2\n",
    "nothing for a key": "~: 2\n",
    "a value after the end": "a: 1\n...\nb",
    "a reserved character": "a: @x\n",
    "a colon too many": "a: b: c\n",
}


def tree(text: str | bytes) -> Node:
    """The tree of a text that has no faults."""
    root, faults = read(Source("x.yml", text))
    assert faults == ()
    assert root is not None
    return root


def faults(text: str | bytes) -> tuple[Fault, ...]:
    """The faults of a text."""
    return read(Source("x.yml", text))[1]


@pytest.mark.parametrize("name", HOSTILE)
def test_s3_hostile_input_is_refused(name: str) -> None:
    """Each with at least one fault that says where and why."""
    found = faults(HOSTILE[name])
    assert found
    assert all(fault.file == "x.yml" and fault.line >= 1 and fault.column >= 1 and fault.message for fault in found)


@pytest.mark.parametrize("name", HOSTILE)
def test_s3_hostile_input_needs_little_memory(name: str) -> None:
    """Less than 50 MB beyond the input itself."""
    source = Source("x.yml", HOSTILE[name])
    tracemalloc.start()
    try:
        read(source)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50e6


def test_s3_hostile_input_is_stopped_by_counting_not_by_luck() -> None:
    """A bomb ends at the first limit that it passes, not at the end of the file."""
    assert f"more than {NODE_LIMIT:,} values" in faults(ALIAS_BOMB)[0].message
    assert f"more than {DEPTH_LIMIT} levels" in faults("[" * 10_000)[0].message
    assert faults("[" * 10_000)[0].column == DEPTH_LIMIT + 1
    assert f"more than {ALIAS_LIMIT} aliases" in faults("a: &a x\nb: [" + "*a, " * 200 + "]")[0].message


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a:\n\tb: 1\n", (2, 1), "tab"),
        ("a: 1\nb: 2\na: 3\n", (3, 1), "stands twice, first in line 1"),
        ("a: 1\n---\nb: 2\n", (2, 1), "second document"),
        ("a: @x\n", (1, 4), 'cannot begin with "@"'),
        ("a: b: c\n", (1, 5), '":" is not expected'),
        ("a: [1, 2\nb: 3", (2, 2), "list is not closed (it began in line 1)"),
        ("a: {b: 1\nc: 3", (2, 2), "mapping is not closed"),
        ('a: 1\nb: "x', (2, 6), "quote is not closed (it began in line 2)"),
        ("a: caf\xe9\n".encode("latin-1"), (1, 7), "0xe9 is not UTF-8"),
        ("a: 1\nb: \x07\n", (2, 4), "U+0007"),
        ("a: !!python/object:x {}\n", (1, 4), "tag"),
        ("", (1, 1), "empty"),
    ],
)
def test_a_refusal_says_where_and_why(text: str | bytes, place: tuple[int, int], words: str) -> None:
    fault = faults(text)[0]
    assert (fault.line, fault.column) == place
    assert words in fault.message


def test_s3_every_duplicate_key_is_named_with_its_path() -> None:
    """Reading goes on after a duplicate, so that all of them and everything else is said at once."""
    found = faults("a: {b: 1, b: 2}\nc: [1, {d: 1, d: 2}]\na: 3\n")
    assert [fault.path for fault in found] == ["a.b", "c[1].d", "a"]


def test_the_first_of_two_equal_keys_stays() -> None:
    root, _ = read(Source("x.yml", "a: 1\na: 2\n"))
    assert root is not None
    assert root.plain() == {"a": "1"}


@pytest.mark.parametrize(
    "written", ["1.10", "12e34567", "025", "0x1F", "1:30", "on", "yes", "No", "true", "1_000", "2026-11-21"]
)
def test_plain_scalars_stay_the_text_they_are(written: str) -> None:
    """A field decides what a scalar means, so versions, hashes, times and countries survive."""
    value = tree(f"a: {written}\n").plain()["a"]
    assert value == written
    assert isinstance(value, Plain)


def test_keys_stay_the_text_they_are() -> None:
    """YAML 1.1 would make `on` true, 025 a number and `<<` a merge."""
    assert list(tree("on: 1\n025: 2\n<<: {a: 1}\n").plain()) == ["on", "025", "<<"]


@pytest.mark.parametrize("written", ["", "~", "null", "Null", "NULL"])
def test_nothing_is_null(written: str) -> None:
    assert tree(f"a: {written}\n").plain() == {"a": None}


@pytest.mark.parametrize("written", ['"null"', "'~'", '""'])
def test_a_quoted_null_is_text(written: str) -> None:
    value = tree(f"a: {written}\n").plain()["a"]
    assert isinstance(value, str)
    assert not isinstance(value, Plain)


@pytest.mark.parametrize(
    "text", ["a: 1\r\nb:\r\n  - x\r\n", "\ufeffa: 1\nb:\n  - x\n", "a: 1\nb:\n  - x\n".encode("utf-8-sig")]
)
def test_windows_files_are_read(text: str | bytes) -> None:
    """Line ends of Windows and a byte order mark change neither values nor places."""
    root = tree(text)
    assert root.plain() == {"a": "1", "b": ["x"]}
    item = root.get("b", 0)
    assert item is not None
    assert (item.place.line, item.place.column) == (3, 5)


def test_aliases_repeat_a_value_and_point_to_where_it_stands() -> None:
    root = tree("a: &x {b: 1}\nc: *x\n")
    assert root.plain() == {"a": {"b": "1"}, "c": {"b": "1"}}
    repeated, key = root.get("c", "b"), root.get("c")
    assert repeated is not None and key is not None and key.key is not None  # noqa: PT018 - one precondition
    assert repeated.place.line == 1
    assert key.key.line == 2


def test_places_count_characters_not_bytes() -> None:
    node = tree("ключ: значение\nb: ü x\n").get("ключ")
    assert node is not None
    assert (node.place.line, node.place.column) == (1, 7)


def test_a_path_that_leads_nowhere_is_none() -> None:
    root = tree("a: [1]\n")
    assert root.get("a", 1) is None
    assert root.get("a", 0, "b") is None
    assert root.get("z") is None


def test_options_become_a_tree_at_one_place() -> None:
    """What a program hands over is read like a file, and what no file could hold is the program's mistake."""
    place = Place(Source("options", ""))
    assert of_python({"a": [1, 2.5, True, None, "x"]}, place).plain() == {"a": [1, 2.5, True, None, "x"]}
    with pytest.raises(TypeError):
        of_python({"a": object()}, place)


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_s3_any_bytes_are_a_tree_or_faults(raw: bytes) -> None:
    """Nothing but faults ever comes out of unreadable input."""
    root, found = read(Source("x.yml", raw))
    assert (root is not None) or found
    assert all(str(fault) for fault in found)


@given(st.text(alphabet=st.sampled_from("ab:-[]{},&*!|>'\"#%@` \n\t?~0"), max_size=60))
@settings(max_examples=400, deadline=None)
def test_s3_any_text_of_yaml_marks_is_a_tree_or_faults(text: str) -> None:
    """The characters that mean something to YAML, in every order."""
    root, found = read(Source("x.yml", text))
    assert (root is not None) or found


VALUES = st.recursive(
    st.none() | st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcdefgh_", min_size=1, max_size=6), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text("abcdefgh_", min_size=1, max_size=6), VALUES, min_size=1, max_size=4))
@settings(deadline=None)
def test_quoted_documents_come_back_whole(document: dict[str, object]) -> None:
    """Whatever is written in quotes is read as it was."""
    assert tree(_written(document)).plain() == document


def _written(value: object) -> str:
    """A document in YAML's flow style with all texts in double quotes."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(c):08x}" if c in '"\\' or not c.isprintable() else c for c in value) + '"'
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_written(key)}: {_written(child)}" for key, child in value.items()) + "}"
    assert isinstance(value, list)
    return "[" + ", ".join(_written(child) for child in value) + "]"
