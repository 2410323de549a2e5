"""The panels of a rollout in a real browser: what they say, hostile texts in them, earlier attempts, paper, phones."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.controlplane.api import homes
from tests.controlplane.api.serving import Serving, serving
from tests.controlplane.dashboard.looking import looking
from tests.controlplane.dashboard.surroundings import surround
from tests.controlplane.dashboard.test_static import AXE, CORPUS


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A fourth attempt under way, after one that was put back, with everything around it."""
    home = tmp_path_factory.mktemp("home")
    homes.put_back(home, "support-llm")
    surround(home, homes.next_attempt(home))
    with serving(home) as served:
        yield served


def panel(page: Page, title: str) -> Locator:
    """The panel of this title."""
    return page.locator("section.panel", has=page.get_by_role("heading", name=title, exact=True))


def row(page: Page, title: str, first: str) -> Locator:
    """The row of a panel that begins like this."""
    return panel(page, title).get_by_role("row").filter(has=page.get_by_role("rowheader", name=first))


def test_processes_git_and_alerts_stand_on_the_page(browser: Browser, full: Serving) -> None:
    with looking(browser, full) as page:
        page.goto(f"{full.url}/rollouts/support-llm")
        expect(row(page, "Processes", "stable-0")).to_contain_text("✔ ready")
        restarted = row(page, "Processes", "canary-0")
        for text in ("◌ not ready", "2", "port 40124", "it is not ready yet"):
            expect(restarted).to_contain_text(text)
        commit = row(page, "Git", "Commit").get_by_role("link")
        expect(commit).to_have_text("4f2c1e9 Try nf4")
        expect(commit).to_have_attribute("href", "https://github.com/ml/apps/commit/4f2c1e9aa7")
        expect(commit).to_have_attribute("rel", "noopener noreferrer")
        expect(row(page, "Git", "Author")).to_contain_text("Ann")
        expect(row(page, "Git", "File")).to_contain_text("canary.yml:14")
        expect(row(page, "Git", "Rejected")).to_contain_text("It was slow")
        expect(row(page, "Git", "Try it again")).to_contain_text("serinus retry support-llm")
        expect(row(page, "Alerts", "slack")).to_contain_text("✔ delivered")
        expect(row(page, "Alerts", "pagerduty")).to_contain_text("✖ failed: it answers 403")
        expect(row(page, "Versions: what the canary changes", "name")).to_contain_text("bf16")


def test_an_earlier_attempt_is_chosen_and_left_again(browser: Browser, full: Serving) -> None:
    with looking(browser, full, missing=True) as page:
        page.goto(f"{full.url}/rollouts/support-llm")
        expect(page.get_by_role("heading", level=1)).to_contain_text("#4")
        panel(page, "Attempts").get_by_role("link", name="#3").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("#3")
        expect(page.locator(".sentence")).to_contain_text("error_rate <= 1% failed: 12 % of answers failed")
        expect(page.get_by_text("Attempt #3 as it ended.")).to_be_visible()
        expect(page.get_by_role("button", name="Abort")).to_have_count(0)
        expect(page.locator(".log li").first).to_contain_text("rolled back")
        assert page.url.endswith("/rollouts/support-llm?attempt=3")
        page.get_by_role("link", name="Show the newest").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("#4")
        page.goto(f"{full.url}/rollouts/support-llm?attempt=2")
        expect(page.get_by_role("alert")).to_contain_text("has no attempt #2")


def test_empty_panels_teach_the_next_command_which_can_be_copied(browser: Browser, own: Serving) -> None:
    with looking(browser, own) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.goto(f"{own.url}/rollouts/support-llm")
        for title, command in (("Git", "serinus controller --git URL"), ("Alerts", "serinus alerts test canary.yml")):
            expect(panel(page, title)).to_contain_text(command)
        asked = panel(page, "Requests of people")
        copy = asked.get_by_role("button", name="Copy")
        copy.focus()
        page.keyboard.press("Enter")
        expect(asked.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == "serinus pause support-llm"


@pytest.mark.parametrize(
    "url", ["javascript:window.owned=1", "https://x/\"onmouseover='window.owned=1'", "data:text/html,x"]
)
def test_s12_hostile_texts_in_every_panel_are_only_text_and_never_links(
    browser: Browser, tmp_path: Path, url: str
) -> None:
    """GHSA-h4w9, for what comes from git, processes and channels."""
    said = " ".join(CORPUS)
    surround(tmp_path, homes.put_back(tmp_path, "hostile", said=said), text=said, url=url)
    with serving(tmp_path) as served, looking(browser, served) as page:
        page.goto(f"{served.url}/rollouts/hostile")
        expect(row(page, "Git", "Commit")).to_be_visible()
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
        for title in ("Git", "Alerts", "Attempts"):
            shown = panel(page, title).inner_text()
            for text in filter(str.isprintable, CORPUS):
                assert text in shown, (title, text)
            assert "\x1b" not in shown
            assert "\u202e" not in shown
        links = page.evaluate("[...document.querySelectorAll('main a')].map((a) => a.protocol)")
        assert set(links) <= {"http:", "https:"}
        assert (
            page.locator("main script, main iframe, main img, main svg, main [onerror], main [onmouseover]").count()
            == 0
        )
        assert page.evaluate("window.owned") is None


def test_a_link_that_a_server_should_not_have_sent_is_not_opened_either(browser: Browser, full: Serving) -> None:
    """The page trusts nobody: a cell with another scheme is text."""
    with looking(browser, full) as page:

        def worse(route: Route) -> None:
            answer = route.fetch()
            text = answer.text().replace('"link":"?"', '"link":"javascript:window.owned=1"')
            route.fulfill(response=answer, body=text.replace('"link":"?attempt=3"', '"link":"//evil.example.com"'))

        page.route("**/api/v1/rollouts/support-llm", worse)
        page.goto(f"{full.url}/rollouts/support-llm")
        expect(panel(page, "Attempts")).to_contain_text("#4")
        expect(panel(page, "Attempts").get_by_role("link")).to_have_count(0)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light"), (320, "dark")])
def test_s12_full_panels_are_accessible_and_fit_the_window(
    browser: Browser, full: Serving, tmp_path: Path, width: int, scheme: str
) -> None:
    """Axe finds nothing and nothing is wider than the window; the screenshots are kept with the test."""
    with looking(browser, full, width=width, scheme=scheme) as page:
        for path in ("/rollouts/support-llm", "/rollouts/support-llm?attempt=3&at=2026-11-21T09:00:00Z"):
            page.goto(full.url + path)
            expect(panel(page, "Attempts")).to_be_visible()
            page.screenshot(path=tmp_path / f"{'attempt' if '?' in path else 'newest'}-{width}.png", full_page=True)
            page.evaluate(AXE.read_text())
            found = page.evaluate("axe.run().then((r) => r.violations.map((v) => `${v.impact} ${v.id}`))")
            assert found == [], f"{path}: {found}"
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_report_on_paper_has_the_evidence_and_no_buttons(browser: Browser, full: Serving, tmp_path: Path) -> None:
    """Printed in the dark, it is black on white; what is folded is told; the PDF is kept with the test."""
    with looking(browser, full, scheme="dark") as page:
        page.goto(f"{full.url}/rollouts/support-llm?attempt=3")
        expect(panel(page, "Attempts")).to_be_visible()
        page.emulate_media(media="print", color_scheme="dark")
        expect(page.get_by_role("button", name="Print this report")).to_be_hidden()
        expect(page.locator(".crumbs")).to_be_hidden()
        expect(page.locator(".sentence")).to_be_visible()
        expect(page.locator(".log dd").first).to_be_visible()
        colours = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )
        assert colours == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]
        page.screenshot(path=tmp_path / "paper.png", full_page=True)
        printed = page.pdf(path=tmp_path / "report.pdf")
        assert printed.startswith(b"%PDF")
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_the_button_prints(browser: Browser, full: Serving) -> None:
    with looking(browser, full) as page:
        page.goto(f"{full.url}/rollouts/support-llm")
        page.evaluate("window.print = () => { window.printed = true }")
        page.get_by_role("button", name="Print this report").click()
        assert page.evaluate("window.printed") is True


def test_nothing_moves_for_those_who_asked_for_that(browser: Browser, full: Serving) -> None:
    with looking(browser, full) as page:
        page.emulate_media(reduced_motion="reduce")
        page.goto(f"{full.url}/rollouts/support-llm")
        bar = page.locator(".rail .bar span").first
        expect(bar).to_be_attached()
        assert bar.evaluate("(bar) => getComputedStyle(bar).transitionDuration") == "0s"
        page.emulate_media(reduced_motion="no-preference")
        assert bar.evaluate("(bar) => getComputedStyle(bar).transitionDuration") != "0s"


def test_the_keyboard_reaches_attempts_moments_and_the_filter(browser: Browser, full: Serving) -> None:
    with looking(browser, full) as page:
        page.get_by_label("Phase").focus()
        page.keyboard.press("p")  # a select takes the first letter
        expect(page).to_have_url(f"{full.url}/?phase=preparing")
        page.get_by_role("link", name="support-llm").focus()
        page.keyboard.press("Enter")
        entry = page.locator(".log li").last.get_by_role("link")
        entry.focus()
        page.keyboard.press("Enter")
        expect(page.locator(".log li[aria-current=true]")).to_have_count(1)
        panel(page, "Attempts").get_by_role("link", name="#3").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("#3")


def test_counts_and_the_phase_stand_in_the_address(browser: Browser, tmp_path: Path) -> None:
    homes.put_back(tmp_path, "fraud-scorer")
    homes.under_way(tmp_path)
    homes.under_way(tmp_path, "lonely")
    (tmp_path / "lonely" / "live.json").unlink()
    with serving(tmp_path) as served, looking(browser, served) as page:
        expect(page.locator("label", has_text="Need somebody")).to_contain_text("1")
        page.get_by_text("Need somebody").click()
        expect(page.locator("tbody tr")).to_have_count(1)
        expect(page.locator("tbody tr")).to_contain_text("lonely")
        assert page.url.endswith("/?show=need")
        page.goto(f"{served.url}/?phase=rolled+back")
        expect(page.locator("tbody tr")).to_have_count(1)
        expect(page.get_by_label("Phase")).to_have_value("rolled back")
        page.goto(f"{served.url}/?phase=unheard-of")
        expect(page.get_by_text("No rollout matches this filter.")).to_be_visible()
        page.get_by_role("link", name="Show all 3").click()
        expect(page.locator("tbody tr")).to_have_count(3)
        assert page.url.endswith("/")
