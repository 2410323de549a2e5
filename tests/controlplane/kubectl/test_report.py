"""`kubectl canary report`: one page that needs nothing else and trusts nobody."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from controlplane.kubernetes.resources import MODEL_CANARY
from tests.controlplane.kubectl.desk import PLACE, broken, desk, good


class Page(HTMLParser):
    """What a browser would see: the tags that it meets, whether they are closed, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_has_the_cause_both_arms_the_gates_and_the_whole_history() -> None:
    person = desk(broken)
    cause = person("why", "chat").output.splitlines()[1]
    page = Page(person("report", "chat").stdout)
    assert page.open == []
    assert cause in page.text
    assert "no traffic" in page.text
    for line in person("history", "chat").stdout.splitlines():
        if "phase" in line:
            assert " ".join(line.split("phase", 1)[1].split())[:50] in " ".join(page.text.split())


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    told = desk(good)("report", "chat").stdout
    assert Page(told).tags.isdisjoint({"script", "link", "img", "iframe", "object", "form"})
    assert not re.search(r"\b(src|href|on\w+)=", told)
    assert "default-src 'none'" in told


def test_what_comes_from_outside_is_escaped() -> None:
    person = desk(good)
    object_ = person.kube.objects(MODEL_CANARY)[PLACE, "chat"]
    object_["spec"]["canary"]["image"] = "<script>alert(1)</script>"
    person.kube.seed(MODEL_CANARY, object_)
    told = person("report", "chat").stdout
    assert "&lt;script&gt;" in told
    assert "<script" not in told


def test_as_text_it_is_the_screen_and_the_history() -> None:
    told = desk(broken)("report", "chat", "-o", "text").stdout
    assert "✖ rolled back" in told
    assert "end      rolled back" in told


def test_it_is_written_where_it_is_wanted_or_says_why_not(tmp_path: Path) -> None:
    person = desk(good)
    assert person("report", "chat", "-f", str(tmp_path / "r.html")).exit_code == 0
    assert (tmp_path / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    told = person("report", "chat", "-f", str(tmp_path / "none" / "r.html"))
    assert told.exit_code == 2
    assert "cannot be written" in told.stderr
