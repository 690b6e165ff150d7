"""A scenario token in the address of a page: it opens the stepper's event, follows it, and says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser.harness import Chromium, Tab, wait_until
from browser.viewkit import page_of

from vswaplab import lab
from vswaplab.workloads.token import make_token

pytestmark = pytest.mark.browser

STATE = make_token("one_page", step=8)


def open_at(chromium: Chromium, folder: Path, token: str) -> Tab:
    """Return a tab with a page of two steppers, the second of them a token's state, opened at an address."""
    views = [lab.open_stepper(make_token("fork_1").encode()), lab.open_stepper(STATE.encode())]
    path = folder / "page.html"
    path.write_text(page_of(views), encoding="utf-8")
    tab = chromium.open()
    tab.page.goto(f"{path.as_uri()}#{token}")
    tab.page.locator(".vswaplab-view").nth(0).wait_for()
    return tab


def position(tab: Tab) -> int:
    return int(tab.page.evaluate("document.querySelectorAll('.vswaplab-stepper')[1]?.player.position ?? -1"))


def test_the_address_opens_an_event_and_follows_it(chromium: Chromium, tmp_path: Path) -> None:
    token = make_token("one_page", step=8, event=5).encode()
    tab = open_at(chromium, tmp_path, token)
    wait_until(lambda: position(tab) == 5, "the event", 10)
    tab.page.keyboard.press("ArrowRight")  # the stepper has the focus
    assert position(tab) == 6
    there = lab.open_stepper(make_token("one_page", step=8, event=6).encode())
    wait_until(lambda: tab.page.evaluate("location.hash") == f"#{there.token}", "the address", 10)
    tab.page.evaluate("hash => { location.hash = hash; }", make_token("one_page", step=8, event=2).encode().lower())
    wait_until(lambda: position(tab) == 2, "the other event", 10)
    tab.check()
    tab.page.context.close()


@pytest.mark.parametrize(
    ("token", "part"),
    [
        (STATE.encode()[:-1] + "0", "There is a typing error in the token"),
        (make_token("one_page", step=7).encode(), "not on this page"),
    ],
)
def test_a_token_that_opens_nothing_is_one_sentence(token: str, part: str, chromium: Chromium, tmp_path: Path) -> None:
    tab = open_at(chromium, tmp_path, token)
    assert part in tab.page.get_by_role("alert").inner_text()
    tab.check()
    tab.page.context.close()


def test_other_addresses_are_left_alone(chromium: Chromium, tmp_path: Path) -> None:
    tab = open_at(chromium, tmp_path, "a-heading")
    assert tab.page.get_by_role("alert").count() == 0
    tab.check()
    tab.page.context.close()
