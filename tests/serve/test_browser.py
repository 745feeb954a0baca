"""The page in a real browser: it is looked at, clicked, and used with the keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from actionqueues import transaction
from actionqueues.journal import Journal
from tests.journal.actions import failing, put, trail
from tests.journal.leaving import edit

from .browser import Watched
from .visitor import Visitor, serving, story

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route


@pytest.fixture
def tab(path: Path, decider: Visitor, browser: Browser) -> Iterator[Page]:
    """The page of a journal in which something of each sort has happened; it may be changed."""
    story(path)
    watched = Watched(browser, decider)
    watched.page.get_by_role("heading", name="Transactions", exact=True).wait_for()
    trail.clear()
    yield watched.page
    assert watched.wrong == []
    watched.close()


def click(tab: Page, name: str, role: str = "button") -> None:
    tab.get_by_role("button" if role == "button" else "link", name=name, exact=True).click()


def open_one(tab: Page, name: str) -> None:
    click(tab, name, "link")
    tab.get_by_role("heading", name=name).wait_for()


def told(tab: Page, text: str) -> None:
    tab.locator("#told", has_text=text).wait_for()


def names(tab: Page) -> list[str]:
    return tab.locator("#transactions a").all_inner_texts()


def focused(tab: Page) -> str:
    text: str = tab.evaluate("document.activeElement.textContent.trim()")
    return text


def test_the_token_leaves_the_address_and_a_reload_still_knows_it(tab: Page, decider: Visitor) -> None:
    assert tab.url == f"http://{decider.host}/#/"
    tab.reload()
    tab.locator("#transactions li").first.wait_for()
    assert len(names(tab)) == 5


def test_transactions_are_shown_by_state_and_age(tab: Page) -> None:
    tab.locator("#transactions li").first.wait_for()
    assert names(tab) == ["5 left", "4 order 1004", "3 order 1003", "2 order 1002", "1 order 1001"]
    click(tab, "Sorted: newest first")
    assert names(tab)[0] == "1 order 1001"
    click(tab, "Stuck (2)")
    assert names(tab) == ["3 order 1003", "4 order 1004"]
    assert tab.get_by_role("button", name="Stuck (2)").get_attribute("aria-pressed") == "true"
    click(tab, "Running (0)")
    assert names(tab) == []
    assert tab.get_by_text("There are none.").is_visible()
    assert tab.title() == "2 stuck: actionqueues"


def test_one_transaction_has_its_drawing_and_its_facts(tab: Page) -> None:
    open_one(tab, "3 order 1003")
    assert tab.locator("#facts").inner_text().split("\n")[:2] == ["State", "stuck"]
    assert "OSError('printer on fire')" in tab.locator("#steps").inner_text()
    drawing = tab.locator("#drawing[src]")
    drawing.wait_for()
    width, alt = drawing.evaluate("async (image) => { await image.decode(); return [image.naturalWidth, image.alt] }")
    assert width > 100
    assert alt.startswith("What happened in order 1003")
    assert tab.title() == "3 order 1003: stuck"
    tab.go_back()
    tab.get_by_role("heading", name="Transactions", exact=True).wait_for()


def test_durations_are_told_as_the_drawing_tells_them(tab: Page) -> None:
    took = "async (seconds) => (await import('/dom.js')).took(100, 100 + seconds)"
    told = [tab.evaluate(took, seconds) for seconds in (-1, 0, 0.0004, 0.25, 2.5, 90)]
    assert told == ["<1 ms", "<1 ms", "<1 ms", "250 ms", "2.5 s", "1 min"]


def test_a_step_is_decided_after_a_confirmation(tab: Page, path: Path) -> None:
    open_one(tab, "3 order 1003")
    click(tab, "It is undone: step 2, stubborn")
    dialog = tab.get_by_role("dialog")
    assert "step 2, stubborn" in dialog.inner_text()
    dialog.get_by_role("button", name="It is undone").click()
    told(tab, "transaction 3 is stuck: tests.journal.actions:contested")
    click(tab, "Leave it as it is: step 3, contested")
    dialog.get_by_role("button", name="Leave it as it is").click()
    told(tab, "transaction 3 is rolled back")
    tab.locator("#facts .state", has_text="rolled back").wait_for()
    assert tab.get_by_role("button").all() == []
    assert [step.undo for step in Journal(path).show(3).steps] == ["undone", "undone", "not undone"]
    assert trail == []


@pytest.mark.parametrize("way", ["Cancel", "Escape"])
def test_nothing_is_done_without_the_confirmation(way: str, tab: Page, path: Path) -> None:
    open_one(tab, "3 order 1003")
    before = Journal(path).show(3)
    for name in ("Retry…", "Abandon…", "It is undone: step 2, stubborn", "Leave it as it is: step 3, contested"):
        click(tab, name)
        if way == "Cancel":
            tab.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        else:
            tab.keyboard.press("Escape")
        tab.get_by_role("dialog").wait_for(state="hidden")
        opener = tab.get_by_role("button", name=name, exact=True)
        assert opener.evaluate("(button) => button === document.activeElement")
    assert (Journal(path).show(3), trail) == (before, [])


def test_what_is_stuck_is_tried_again(tab: Page, path: Path) -> None:
    failing.clear()
    open_one(tab, "4 order 1004")
    click(tab, "Retry…")
    click(tab, "Retry it")
    told(tab, "4 order 1004: committed")
    assert trail == ["!mail True"]
    click(tab, "All transactions", "link")
    open_one(tab, "5 left")
    click(tab, "Recover…")
    click(tab, "Recover it")
    told(tab, "5 left: rolled back, 2 undone")
    tab.locator("#steps", has_text="undone").wait_for()


def test_what_is_stuck_is_abandoned_with_a_reason(tab: Page, path: Path) -> None:
    open_one(tab, "3 order 1003")
    click(tab, "Abandon…")
    tab.get_by_label("Why, and who decides").fill("ada: the label is burnt")
    click(tab, "Abandon it")
    told(tab, "transaction 3 is rolled back")
    tab.locator("#steps", has_text="abandoned: ada: the label is burnt").wait_for()
    assert Journal(path).show(3).ended is not None


def test_a_hook_is_decided(tab: Page, path: Path) -> None:
    open_one(tab, "4 order 1004")
    click(tab, "It need not be called: hook 1, tell")
    click(tab, "It need not be called")
    told(tab, "transaction 4 is committed")
    assert Journal(path).show(4).ended is not None


def test_what_somebody_else_has_decided_meanwhile_is_said(tab: Page, path: Path) -> None:
    open_one(tab, "3 order 1003")
    click(tab, "Abandon…")
    Journal(path).abandon(3)
    click(tab, "Abandon it")
    told(tab, "there is nothing to decide about it")
    tab.locator("#facts .state", has_text="rolled back").wait_for()
    assert focused(tab) == "3 order 1003"  # its button has gone


def test_it_keeps_itself_up_to_date_without_losing_the_focus_or_the_place(tab: Page, path: Path) -> None:
    link = tab.get_by_role("link", name="1 order 1001")
    link.focus()
    tab.evaluate("document.querySelector('#transactions li').marked = true")
    with transaction("order 1006", journal=Journal(path)):
        put("new")
    tab.get_by_role("link", name="6 order 1006").wait_for()
    assert focused(tab) == "1 order 1001"
    assert tab.evaluate("document.querySelectorAll('#transactions li')[1].marked") is True
    Journal(path).prune()
    link.wait_for(state="detached")
    assert focused(tab) == "Transactions"


def test_it_can_be_used_with_the_keyboard_alone(tab: Page, path: Path) -> None:
    tab.locator("#transactions li").first.wait_for()
    tab.keyboard.press("Tab")
    assert focused(tab) == "Skip to the content"
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "main"
    assert len(names(tab)) == 5
    for _ in range(20):
        tab.keyboard.press("Tab")
        assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        if focused(tab) == "3 order 1003":
            break
    tab.keyboard.press("Enter")
    tab.get_by_role("heading", name="3 order 1003").wait_for()
    assert focused(tab) == "3 order 1003"
    while focused(tab) != "Abandon…":
        tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    assert focused(tab) == "Cancel"
    tab.keyboard.press("Shift+Tab")
    tab.keyboard.type("by hand")
    tab.keyboard.press("Enter")
    told(tab, "transaction 3 is rolled back")
    assert Journal(path).show(3).steps[1].reason == "abandoned: by hand"


def test_a_page_that_may_only_be_read_has_no_buttons(path: Path, visitor: Visitor, browser: Browser) -> None:
    story(path)
    watched = Watched(browser, visitor)
    open_one(watched.page, "3 order 1003")
    assert watched.page.get_by_role("button").all() == []
    assert watched.page.get_by_text("Read-only; serve it with --allow-actions").is_visible()
    assert watched.wrong == []
    watched.close()


def test_another_token_is_told_so_and_shown_nothing(path: Path, visitor: Visitor, browser: Browser) -> None:
    story(path)
    for address in (f"http://{visitor.host}/", f"http://{visitor.host}/#token=wrong", f"http://{visitor.host}/#/3"):
        watched = Watched(browser, visitor, at=address)
        watched.page.get_by_role("alert").get_by_text("the token is missing").wait_for()
        assert "order" not in watched.page.locator("body").inner_text()
        watched.close()


def test_a_number_that_is_not_there_and_a_file_that_breaks_are_said(
    path: Path, visitor: Visitor, browser: Browser
) -> None:
    story(path)
    watched = Watched(browser, visitor)
    watched.page.locator("#transactions li").first.wait_for()
    watched.page.evaluate("location.hash = '#/99'")
    watched.page.get_by_role("alert").get_by_text("there is no transaction 99").wait_for()
    watched.page.get_by_role("link", name="actionqueues").click()
    watched.page.locator("#transactions li").first.wait_for()
    assert not watched.page.get_by_role("alert").is_visible()
    edit(path, "DROP TABLE transactions")
    watched.page.get_by_role("alert").get_by_text("no such table").wait_for()
    watched.close()


def test_a_drawing_that_did_not_come_is_asked_for_again(tab: Page) -> None:
    failed: list[str] = []

    def fail(route: Route) -> None:
        failed.append(route.request.url)
        route.fulfill(status=503, json={"error": "another process has kept it locked"})

    tab.route("**/drawing", fail, times=1)
    open_one(tab, "3 order 1003")
    tab.locator("#drawing[src]").wait_for()
    assert len(failed) == 1
    tab.get_by_role("alert").wait_for(state="hidden")


def test_a_server_that_has_ended_is_said_and_what_was_shown_stays(path: Path, browser: Browser) -> None:
    story(path)
    with serving(Journal(path)) as visitor:
        watched = Watched(browser, visitor)
        watched.page.locator("#transactions li").first.wait_for()
    watched.page.get_by_text("The server does not answer; trying again…").wait_for()
    assert len(names(watched.page)) == 5
    watched.close()
