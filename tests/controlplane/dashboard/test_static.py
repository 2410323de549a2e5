"""The page in a real browser on a real server: what it shows, what it asks, and what it lets nobody do (S6, S12)."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from canary.snapshot import OperatorRequest
from controlplane.adapters.sqlite_store import SqliteStore
from tests.controlplane.api import homes
from tests.controlplane.api.serving import Serving, serving
from tests.controlplane.dashboard.looking import looking

AXE = Path(__file__).with_name("axe.min.js")
CORPUS = (
    "<script>window.owned = 1</script>",
    "<img src=x onerror=window.owned=1>",
    "<svg/onload=window.owned=1>",
    "\"><iframe srcdoc='<script>parent.owned=1</script>'>",
    "javascript:window.owned=1",
    "${window.owned=1}{{constructor.constructor('window.owned=1')()}}",
    "</textarea></title><script>window.owned=1</script>",
    "\u202egnp.exe \x1b[31m red \x07",
)


def waiting(home: Path) -> list[OperatorRequest]:
    """What has been asked of the rollout."""

    async def read() -> list[OperatorRequest]:
        store = SqliteStore(home / "support-llm" / "serinus.db")
        found = list(await store.requests("support-llm"))
        await store.close()
        return found

    return homes.run(read())


def see(page: Page, text: str) -> None:
    """Wait until a person can read this."""
    expect(page.get_by_text(text).first).to_be_visible()


def test_the_list_leads_to_the_rollout_and_the_sentence_comes_first(browser: Browser, served: Serving) -> None:
    with looking(browser, served) as page:
        assert "token" not in page.url
        page.get_by_role("link", name="fraud-scorer").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("fraud-scorer")
        sentence = page.locator(".sentence")
        expect(sentence).to_contain_text("error_rate <= 1% failed: 12 % of answers failed, 1 % allowed")
        expect(page.locator(".weight strong")).to_have_text("0 %")
        see(page, "no traffic 100 ms later")
        expect(page.get_by_role("button", name="Abort")).to_have_count(0)
        page.go_back()
        see(page, "Rollouts on this machine")


def test_a_rollout_shows_both_arms_at_every_gate_and_draws_them(browser: Browser, served: Serving) -> None:
    with looking(browser, served) as page:
        page.goto(f"{served.url}/rollouts/support-llm")
        gate = page.locator("article.gate", has_text="latency p95 <= 200ms")
        for text in ("84 ms", "91 ms", "≤ 200 ms", "31,200 on stable, 9,013 on canary", "95 % of answers within 91 ms"):
            expect(gate).to_contain_text(text)
        expect(page.locator(".rail [aria-current=step]")).to_contain_text("25 %")
        expect(page.locator(".chart canvas").first).to_be_visible()
        see(page, "Stage 1 passed all 4 gates. Giving 25 % of the traffic to nf4.")
        expect(page.locator("pre")).to_contain_text("ttft p95 not worse than stable by 10%")


def test_an_abort_says_its_effect_and_is_asked_for_only_when_confirmed(browser: Browser, own: Serving) -> None:
    with looking(browser, own) as page:
        page.goto(f"{own.url}/rollouts/support-llm")
        page.get_by_role("button", name="Abort").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("All traffic goes back to bf16 at once, and the rollout ends.")
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        page.get_by_role("button", name="Abort").click()
        dialog.get_by_role("button", name="Cancel").click()
        assert waiting(own.home) == []
        page.get_by_role("button", name="Abort").click()
        dialog.get_by_role("button", name="Abort").click()
        expect(page.get_by_role("status")).to_contain_text("Asked to abort.")
        (request,) = waiting(own.home)
        assert (request.verb, request.by, request.full) == ("abort", "ada", False)
        homes.answer(own.home, request, "ada aborted: everything goes back to stable.")
        expect(page.get_by_role("status")).to_have_text("ada aborted: everything goes back to stable.")


def test_s7_only_the_tab_that_was_opened_with_the_token_can_act_and_a_reload_keeps_that(
    browser: Browser, own: Serving
) -> None:
    """The key leaves the address at once; another tab has the cookie and looks."""
    with looking(browser, own) as page:
        assert page.url == f"{own.url}/"
        assert page.evaluate("document.cookie") == ""
        page.goto(f"{own.url}/rollouts/support-llm")
        page.reload()
        expect(page.get_by_role("button", name="Abort")).to_have_attribute("aria-disabled", "false")
        other = page.context.new_page()
        other.goto(f"{own.url}/rollouts/support-llm")
        abort = other.get_by_role("button", name="Abort")
        expect(abort).to_have_attribute("aria-disabled", "true")
        abort.click(force=True)
        expect(other.get_by_role("status")).to_contain_text("This tab can only look")
        assert waiting(own.home) == []


def test_what_is_not_possible_says_why(browser: Browser, own: Serving) -> None:
    with looking(browser, own) as page:
        page.goto(f"{own.url}/rollouts/support-llm")
        resume = page.get_by_role("button", name="Resume")
        expect(resume).to_have_attribute("aria-disabled", "true")
        resume.click(force=True)  # a person can press what a program takes for disabled
        expect(page.get_by_role("status")).to_have_text("Resume is not possible now: It is not paused.")
        expect(page.get_by_role("dialog")).to_have_count(0)


def test_what_happens_appears_without_a_reload(browser: Browser, own: Serving) -> None:
    with looking(browser, own) as page:
        page.goto(f"{own.url}/rollouts/support-llm")
        see(page, "Why: the decision log")
        rollout = homes.under_way(own.home)
        homes.happen(own.home, rollout, "a gate was near its limit")
        see(page, "a gate was near its limit")


def test_a_lost_connection_is_said_and_healed(browser: Browser, own: Serving) -> None:
    """The banner comes and goes; what happened meanwhile is not missed."""
    with looking(browser, own, lost=True) as page:
        page.goto(f"{own.url}/rollouts/support-llm")
        see(page, "Why: the decision log")
        own.stop()
        see(page, "Not live: the connection is lost")
        rollout = homes.under_way(own.home)
        homes.happen(own.home, rollout, "meanwhile")
        with serving(own.home, port=int(own.url.rsplit(":", 1)[1])):
            see(page, "meanwhile")
            expect(page.get_by_text("Not live")).to_have_count(0)


def test_a_rollout_that_nobody_carries_out_says_so(browser: Browser, tmp_path: Path) -> None:
    homes.under_way(tmp_path)
    (tmp_path / "support-llm" / "live.json").unlink()
    with serving(tmp_path) as served, looking(browser, served) as page:
        see(page, "not running")
        page.goto(f"{served.url}/rollouts/support-llm")
        see(page, "Nobody has carried this rollout out: its traffic stays as it is, unjudged.")


def test_filters_stand_in_the_address(browser: Browser, served: Serving) -> None:
    with looking(browser, served) as page:
        page.get_by_text("Under way").click()
        expect(page.locator("tbody tr")).to_have_count(1)
        assert page.url.endswith("/?show=open")
        page.get_by_role("searchbox").fill("nothing")
        see(page, "No rollout matches this filter.")
        page.goto(f"{served.url}/?show=back&q=fraud")
        expect(page.locator("tbody tr")).to_have_count(1)
        expect(page.locator("tbody")).to_contain_text("rolled back")


def test_an_empty_list_teaches_the_next_command(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path) as served, looking(browser, served) as page:
        see(page, "serinus demo")
        see(page, "serinus run canary.yml")


def test_without_the_token_the_page_says_where_it_is(browser: Browser, served: Serving) -> None:
    page = browser.new_page()
    page.goto(f"{served.url}/rollouts/support-llm")
    see(page, "Who are you?")
    see(page, "serinus dashboard")
    assert "support-llm" not in page.locator("main").inner_text()
    page.close()


def test_read_only_offers_nothing(browser: Browser, tmp_path: Path) -> None:
    homes.under_way(tmp_path)
    with serving(tmp_path, read_only=True) as served, looking(browser, served) as page:
        page.goto(f"{served.url}/rollouts/support-llm")
        page.get_by_role("button", name="Abort").click(force=True)
        expect(page.get_by_role("status")).to_contain_text("This dashboard is read-only.")
    assert waiting(tmp_path) == []


def test_s12_text_from_outside_is_only_ever_text(browser: Browser, tmp_path: Path) -> None:
    """Markup in messages, verdicts and evidence is shown as it was written, and nothing of it runs."""
    homes.put_back(tmp_path, "hostile", said=" ".join(CORPUS))
    with serving(tmp_path) as served, looking(browser, served) as page:
        expect(page.locator("td[data-label=Why]")).to_contain_text(CORPUS[0])
        page.get_by_role("link", name="hostile").click()
        expect(page.locator(".log li").first).to_be_visible()
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
        shown = page.locator("main").inner_text()
        for text in filter(str.isprintable, CORPUS):
            assert shown.count(text) > 4, text
        assert "\x1b" not in page.locator(".sentence").inner_text()
        assert "\u202e" not in page.locator(".sentence").inner_text()
        assert page.evaluate("window.owned") is None
        assert page.locator("main script, main iframe, main img, main svg, main [onerror]").count() == 0


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_s12_the_pages_are_accessible_in_every_size_and_scheme(
    browser: Browser, served: Serving, tmp_path: Path, width: int, scheme: str
) -> None:
    """The tool axe finds nothing, nothing is wider than the window; the screenshots are kept with the test."""
    with looking(browser, served, width=width, scheme=scheme) as page:
        for name, path in (("list", "/"), ("under-way", "/rollouts/support-llm"), ("back", "/rollouts/fraud-scorer")):
            page.goto(served.url + path)
            page.wait_for_selector("table")
            page.wait_for_load_state("load")
            page.screenshot(path=tmp_path / f"{name}.png", full_page=True)
            page.evaluate(AXE.read_text())
            found = page.evaluate("axe.run().then((r) => r.violations.map((v) => `${v.impact} ${v.id}`))")
            assert found == [], f"{name}: {found}"
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_keyboard_is_enough(browser: Browser, own: Serving) -> None:
    with looking(browser, own) as page:
        page.keyboard.press("Tab")
        expect(page.get_by_text("Skip to content")).to_be_focused()
        page.get_by_role("link", name="support-llm").focus()
        page.keyboard.press("Enter")
        pause = page.get_by_role("button", name="Pause", exact=True)
        pause.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Cancel")).to_be_focused()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_contain_text("Asked to pause.")
    assert [request.verb for request in waiting(own.home)] == ["pause"]
