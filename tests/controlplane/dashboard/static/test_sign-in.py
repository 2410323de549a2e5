"""The sign-in page in a real browser: what it teaches, refuses, and hides."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from controlplane.api import reviews, rights
from tests.controlplane.api.clusters import EDITOR, FOREIGN, VIEWER, showing
from tests.controlplane.kubectl.desk import left_by, under_way
from tests.controlplane.operator.town import PLACE

AXE = Path(__file__).parent.parent / "axe.min.js"
SERIOUS = (
    "axe.run().then((r) => r.violations.filter((v) => ['serious', 'critical'].includes(v.impact)).map((v) => v.id))"
)


def sign_in(page: Page, token: str) -> None:
    """Paste a token on the sign-in page, and be led on."""
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()


def test_signing_in_brings_one_back_and_the_token_is_hidden_from_scripts(browser: Browser) -> None:
    with ThreadPoolExecutor(1) as thread:  # the browser's loop runs in this one
        thread.submit(left_by, under_way).result()
    with showing(under_way, sign_in=True) as shown:
        context = browser.new_context(bypass_csp=True)  # for axe alone
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.goto(f"{shown.url}/rollouts/{PLACE}~chat")
        expect(page.get_by_role("heading", level=1)).to_have_text("Sign in to Serinus")
        expect(page.get_by_text("--audience serinus")).to_be_visible()
        sign_in(page, FOREIGN)
        expect(page.get_by_role("alert")).to_contain_text("does not accept this token")
        page.evaluate(AXE.read_text(encoding="utf-8"))
        assert page.evaluate(SERIOUS) == []
        sign_in(page, VIEWER)
        page.wait_for_url(f"{shown.url}/rollouts/{PLACE}~chat")
        expect(page.get_by_role("heading", level=1)).to_contain_text("chat")
        assert VIEWER not in page.evaluate("document.cookie")
        context.close()


def test_a_sign_in_that_ends_while_one_looks_is_said_and_leads_back_to_the_same_page(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a rollout's page, whose stream ends with the token, and on the list."""
    monkeypatch.setattr(rights, "RECHECKED", 0.0)
    for kept in ("FRESH", "FRESH_NO"):
        monkeypatch.setattr(reviews, kept, 0.0)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(left_by, under_way).result()
    with showing(under_way, sign_in=True) as shown:
        context = browser.new_context()
        context.set_default_timeout(60_000)
        page = context.new_page()
        for address, heading, token in (
            (f"/rollouts/{PLACE}~chat?attempt=1", "chat", VIEWER),
            ("/?show=open", "Rollouts on", EDITOR),
        ):
            page.goto(f"{shown.url}{address}")
            sign_in(page, token)
            expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
            person = shown.people.tokens.pop(token)
            expect(page.get_by_text("Your sign-in has ended. What is shown is from")).to_be_visible()
            expect(page.get_by_text("Not live")).to_have_count(0)
            expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
            page.get_by_role("link", name="Sign in again").click()
            shown.people.tokens[token] = person
            sign_in(page, token)
            page.wait_for_url(f"{shown.url}{address}")
            expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
            expect(page.get_by_text("Your sign-in has ended.")).to_have_count(0)
            context.clear_cookies()
        context.close()
