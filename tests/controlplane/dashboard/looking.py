"""A person with the address that `serinus dashboard` printed, who notices everything that is not right."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.controlplane.adapters.waiting import PATIENCE_S
from tests.controlplane.api.serving import Serving

expect.set_options(timeout=1000 * PATIENCE_S)

NOTICE = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""


@contextmanager
def looking(
    browser: Browser,
    served: Serving,
    *,
    width: int = 1280,
    scheme: str = "light",
    lost: bool = False,
    missing: bool = False,
) -> Iterator[Page]:
    """A page that was opened with the token. At the end: no error in the console, no violation of the policy.

    `lost`: the test cuts the connection, `missing`: it asks for what is not there; of both a browser complains rightly.
    """
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if scheme == "dark" else "light"
    )
    context.set_default_timeout(1000 * PATIENCE_S)
    page = context.new_page()
    page.add_init_script(NOTICE)
    complaints: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        expected = (lost and "ERR_CONNECTION" in message.text) or (missing and "404" in message.text)
        if message.type in {"error", "warning"} and not expected:
            complaints.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{served.url}/?token={served.keys.token}")
    page.wait_for_selector("main h1, main h2")
    yield page
    assert complaints == []
    assert page.evaluate("window.violations") == []
    context.close()
