"""The sign-in page in a real browser: what it teaches, refuses, and hides."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.controlplane.api.clusters import showing
from tests.controlplane.kubectl.desk import left_by, under_way
from tests.controlplane.operator.town import PLACE

AXE = Path(__file__).parent.parent / "axe.min.js"
SERIOUS = (
    "axe.run().then((r) => r.violations.filter((v) => ['serious', 'critical'].includes(v.impact)).map((v) => v.id))"
)


def test_signing_in_brings_one_back_and_the_token_is_hidden_from_scripts(browser: Browser) -> None:
    with ThreadPoolExecutor(1) as thread:  # the browser's loop runs in this one
        thread.submit(left_by, under_way).result()
    with showing(under_way, sign_in=True) as shown:
        context = browser.new_context(bypass_csp=True)  # for axe alone
        context.set_default_timeout(20_000)
        page = context.new_page()
        page.goto(f"{shown.url}/rollouts/{PLACE}~chat")
        expect(page.get_by_role("heading", level=1)).to_have_text("Sign in to Serinus")
        expect(page.get_by_text("--audience serinus")).to_be_visible()
        page.get_by_label("Token").fill("wrong-audience-token")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("does not accept this token")
        page.evaluate(AXE.read_text(encoding="utf-8"))
        assert page.evaluate(SERIOUS) == []
        page.get_by_label("Token").fill("viewer-token")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{shown.url}/rollouts/{PLACE}~chat")
        expect(page.get_by_role("heading", level=1)).to_contain_text("chat")
        assert "viewer-token" not in page.evaluate("document.cookie")
        context.close()
