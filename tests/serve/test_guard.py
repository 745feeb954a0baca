"""Who is let in: only the page itself, in the browser of whoever has the address that was printed."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest

from actionqueues import transaction
from actionqueues.journal import Journal
from actionqueues.serve.application import application
from actionqueues.serve.running import Page
from tests.journal.actions import failing, put

from .visitor import TRANSACTIONS, Visitor, serving, story

FILES = ["/", "/page.css", "/page.js", "/dom.js", "/asking.js", "/list.js", "/one.js", "/icon.svg"]
SECRETS = [TRANSACTIONS, f"{TRANSACTIONS}/1", f"{TRANSACTIONS}/1/drawing", "/elsewhere", "//", "/../page.js", "/docs"]


@pytest.fixture(autouse=True)
def one(path: Path) -> None:
    with transaction("secret plans", journal=Journal(path)):
        put("a")


def test_the_files_of_the_page_are_for_anybody_on_this_machine(visitor: Visitor) -> None:
    for file in FILES:
        answer = visitor.ask(file, Authorization=None)
        assert answer.status == 200
        assert b"secret" not in answer.body
        assert b"<script>" not in answer.body
        assert b" style=" not in answer.body
        kind = answer.headers.headers["Content-Type"].split(";")[0]
        assert kind in ("text/html", "text/css", "text/javascript", "image/svg+xml")


TOKENS = [None, "", "Bearer ", "Bearer wrong", "Basic {}", "{}", "Bearer {}x", "Bearer é"]


def test_nothing_is_told_without_the_token(visitor: Visitor) -> None:
    for token in TOKENS:
        given = None if token is None else token.format(visitor.token)
        for each in SECRETS:
            answer = visitor.ask(each, Authorization=given)
            assert answer.status == 401
            assert answer.data["error"].startswith("the token is missing, or is another server's; open the address")


def test_the_token_in_the_address_is_no_token(visitor: Visitor) -> None:
    assert visitor.ask(f"{TRANSACTIONS}?token={visitor.token}", Authorization=None).status == 401
    assert visitor.ask(TRANSACTIONS, Authorization=None, Cookie=f"token={visitor.token}").status == 401


HOSTS = ["evil.example", "evil.example:{}", "127.0.0.1", "127.0.0.1:1", "localhost:1", "", None]


def test_a_name_that_somebody_has_made_point_here_is_refused(visitor: Visitor) -> None:
    port = visitor.host.partition(":")[2]
    for host in HOSTS:
        for each in ("/", "/page.js", TRANSACTIONS):
            answer = visitor.ask(each, Host=None if host is None else host.format(port))
            assert answer.status == (400 if host is None else 403)  # without a host it is no request at all
            assert b"secret" not in answer.body


def test_it_may_be_called_localhost(visitor: Visitor) -> None:
    name = f"localhost:{visitor.host.partition(':')[2]}"
    assert visitor.ask(TRANSACTIONS, Host=name, Origin=f"http://{name}").status == 200


ORIGINS = [None, "null", "http://evil.example", "https://{}", "http://127.0.0.1", "http://{}.evil"]


def test_another_page_can_do_nothing_even_with_the_token(decider: Visitor, path: Path) -> None:
    failing["-b"] = OSError("later")
    with pytest.raises(KeyError), transaction("t", journal=Journal(path)):
        put("b")
        raise KeyError
    before = decider.see(2)
    for origin in ORIGINS:
        given = None if origin is None else origin.format(decider.host)
        answer = decider.ask(f"{TRANSACTIONS}/2/abandon", "POST", {}, Origin=given)
        assert (answer.status, answer.data) == (403, {"error": "only the page of this server may ask that"})
    assert decider.see(2) == before


def test_another_page_is_told_nothing(visitor: Visitor) -> None:
    for origin in ("null", "http://evil.example"):
        assert visitor.ask(TRANSACTIONS, Origin=origin).status == 403
        assert visitor.ask("/", Origin=origin).status == 403


ASKED = ["/", "/page.js", TRANSACTIONS, f"{TRANSACTIONS}/1/drawing", "/nowhere", "refused"]


@pytest.mark.parametrize("asked", ASKED)
def test_each_answer_says_what_a_browser_may_do_with_it(asked: str, visitor: Visitor) -> None:
    answer = visitor.ask(TRANSACTIONS, Authorization=None) if asked == "refused" else visitor.ask(asked)
    headers = answer.headers.headers
    policy = dict(rule.strip().split(" ", 1) for rule in headers["Content-Security-Policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert headers.get_all("Cache-Control") == ["no-store"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cross-Origin-Resource-Policy"] == headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "Server" not in headers
    assert "Set-Cookie" not in headers
    assert "Access-Control-Allow-Origin" not in headers


def test_other_methods_are_refused(decider: Visitor) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "POST"):
        for each in (TRANSACTIONS, f"{TRANSACTIONS}/1", "/", "/page.js"):
            answer = decider.ask(each, method, Origin=f"http://{decider.host}")
            assert answer.status == 405
            assert "Access-Control-Allow-Origin" not in answer.headers.headers


def test_getting_changes_nothing(path: Path) -> None:
    story(path)
    with serving(Journal(path), allow_actions=True) as visitor:
        before = [visitor.see(number) for number in range(1, 7)]
        for number in range(1, 7):
            for action in ("retry", "abandon", "steps/1", "hooks/1"):
                for method in ("GET", "HEAD"):
                    answer = visitor.ask(f"{TRANSACTIONS}/{number}/{action}", method)
                    assert answer.status == 405
        assert [visitor.see(number) for number in range(1, 7)] == before


def test_a_server_that_nobody_runs_is_closed(path: Path) -> None:
    with Page(Journal(path)) as page:
        listening = page._listening
    assert listening.fileno() == -1


def test_it_listens_on_this_machine_only(path: Path) -> None:
    with Page(Journal(path)) as page:
        listening = page._listening
        assert listening.getsockname()[0] == "127.0.0.1"
        assert listening.family == socket.AF_INET


def test_the_token_is_new_each_time_and_long(path: Path) -> None:
    with Page(Journal(path)) as one, Page(Journal(path)) as another:
        tokens = {page.address.partition("#token=")[2] for page in (one, another)}
        assert len(tokens) == 2
        assert min(map(len, tokens)) >= 43


def test_nothing_is_logged_of_a_request(visitor: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    visitor.ask(TRANSACTIONS)
    visitor.ask(f"{TRANSACTIONS}?token={visitor.token}", Authorization="Bearer wrong")
    assert visitor.token not in caplog.text


def test_the_guard_stands_around_all_of_it(path: Path) -> None:
    assert type(application(Journal(path), token="t", hosts=["a"])).__name__ == "Guard"
