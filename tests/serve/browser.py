"""A real browser, without a window: Debian's chromium-headless-shell, or another Chromium, driven by playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from .visitor import Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


@contextmanager
def opened() -> Iterator[Browser]:
    """A browser, if there is one."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright drives the browser: pip install playwright"
    )
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("there is no Chromium: apt-get install chromium-headless-shell")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A tab, and all that it has done besides showing something.

    Attributes:
        page: the tab.
        wrong: errors and warnings of the console, dialogs, and what it has asked of others than its server.
    """

    def __init__(self, browser: Browser, visitor: Visitor, *, at: str | None = None, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.wrong: list[str] = []
        self.visitor = visitor
        self.page.set_default_timeout(30_000)
        self.page.on("console", lambda told: self._told(f"{told.type}: {told.text}"))
        self.page.on("pageerror", lambda error: self.wrong.append(f"raised: {error}"))
        self.page.on("dialog", self._dialog)
        self.page.on("popup", lambda popup: self.wrong.append(f"popup: {popup.url}"))
        self.context.on("request", lambda request: self._asked(request.url))
        self._at = visitor.address if at is None else at
        self.page.goto(self._at)

    def _dialog(self, dialog: Dialog) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _told(self, text: str) -> None:
        if "the server responded with a status of" not in text:  # which is what the page is to say in its own words
            self.wrong.append(text)

    def _asked(self, url: str) -> None:
        own = f"http://{self.visitor.host}/"
        if not url.startswith((own, f"blob:{own}", self._at)):
            self.wrong.append(f"asked: {url}")
        if self.visitor.token in url.partition("#")[0]:
            self.wrong.append(f"sent the token: {url}")

    def close(self) -> None:
        self.context.close()
