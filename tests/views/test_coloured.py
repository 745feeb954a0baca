"""A report in colours, and what is printed where there are none; terminals are pseudo-terminals."""

from __future__ import annotations

import codecs
import io
import os
import pty
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, TextIO

import pytest
from rich.console import Console

from actionqueues import Report, action, transaction
from actionqueues.views.coloured import Coloured, print_report
from actionqueues.views.text import to_text

from . import samples
from .samples import SAMPLES

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


Terminal = Callable[[Callable[[TextIO], object]], str]


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """Calls something with the file of a terminal, and gives what has come out at its other end."""
    main, other = pty.openpty()

    def shown(write: Callable[[TextIO], object]) -> str:
        with open(other, "w", encoding="utf-8") as file:
            write(file)
        return "".join(until_closed()).replace("\r\n", "\n")

    def until_closed() -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")()
        while True:
            try:
                read = os.read(main, 100_000)
            except OSError:  # Linux says so where the other end is closed
                return
            if not read:
                return
            yield decoder.decode(read)

    yield shown
    os.close(main)


def coloured(data: dict[str, Any], width: int, **options: Any) -> str:
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=True, **options).print(Coloured(data))
    return file.getvalue()


@pytest.mark.parametrize("name", sorted(set(SAMPLES) - {"huge"}))
@pytest.mark.parametrize("width", [20, 80])
def test_without_its_colours_it_is_the_plain_text(name: str, width: int) -> None:
    data = SAMPLES[name]()
    assert _ESCAPE.sub("", coloured(data, width)) == to_text(data, width=width) + "\n"


def test_colours_say_how_it_went() -> None:
    bold_red, yellow, green = "\x1b[1;31m", "\x1b[33m", "\x1b[32m"
    text = coloured(samples.rolled_back(), 80)
    assert f"{green}✓ \x1b[0mcreate_user" in text
    assert f"{bold_red}✗ \x1b[0m{bold_red}charge\x1b[0m" in text
    assert f"{yellow}left: no rollback handler\x1b[0m" in text


@pytest.mark.parametrize(
    ("name", "colour"),
    [
        ("happy", "1;32"),
        ("retries", "1"),
        ("rolled_back", "1;33"),
        ("failing_undo", "1;31"),
        ("from_journal_stuck", "1;31"),
    ],
)
def test_the_summary_has_the_colour_of_the_outcome(name: str, colour: str) -> None:
    assert coloured(SAMPLES[name](), 80).startswith(f"\x1b[{colour}m")


def test_a_failed_hook_is_a_reason_to_look_at_it() -> None:
    data = samples.happy() | {"hooks": [{"name": "h", "state": "failed", "error": "E()"}]}
    assert coloured(data, 80).startswith("\x1b[1;33m")


def test_a_console_that_knows_only_ascii_gets_ascii() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii", newline="\n")
    Console(file=file, width=80, force_terminal=True).print(Coloured(samples.live()))
    file.flush()
    assert _ESCAPE.sub("", raw.getvalue().decode("ascii")) == to_text(samples.live(), unicode=False) + "\n"


def test_a_terminal_is_given_colours_in_its_width(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "44")
    shown = terminal(lambda file: print_report(samples.rolled_back(), file))
    assert "\x1b[1;31m" in shown
    assert _ESCAPE.sub("", shown) == to_text(samples.rolled_back(), width=44) + "\n"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colours_are_printed_where_they_are_not_wanted(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert terminal(lambda file: print_report(samples.live(), file)) == to_text(samples.live()) + "\n"


def test_without_rich_a_terminal_is_given_plain_text(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert terminal(lambda file: print_report(samples.live(), file)) == to_text(samples.live()) + "\n"
    with pytest.raises(ImportError, match=r"needs rich, which is not installed: pip install 'actionqueues\[rich\]'"):
        Coloured(samples.live())


def test_a_file_is_given_plain_text_of_eighty_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    print_report(samples.retries())
    assert capsys.readouterr().out == to_text(samples.retries()) + "\n"


@pytest.mark.parametrize(
    ("encoding", "unicode"), [("utf-16", True), ("latin-1", False), ("ascii", False), ("cp932", False)]
)
def test_a_file_of_another_encoding_is_given_ascii(encoding: str, unicode: bool) -> None:
    raw = io.BytesIO()
    with closing(io.TextIOWrapper(raw, encoding=encoding, newline="\n")) as file:
        print_report(samples.hostile(), file)
        file.flush()
        written = raw.getvalue().decode(encoding)
    assert written == to_text(samples.hostile(), unicode=unicode) + "\n"


def test_what_has_no_encoding_is_given_unicode() -> None:
    file = io.StringIO()
    print_report(samples.live(), file)
    assert file.getvalue() == to_text(samples.live()) + "\n"


def printed(thing: object, encoding: str, monkeypatch: pytest.MonkeyPatch) -> str:
    raw = io.BytesIO()
    with closing(io.TextIOWrapper(raw, encoding=encoding, newline="\n")) as file, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", file)
        print(thing)
        file.flush()
        return raw.getvalue().decode(encoding)


@pytest.mark.parametrize(("encoding", "unicode"), [("utf-8", True), ("cp1252", False), ("ascii", False)])
def test_a_report_is_printed_in_whatever_encoding_the_output_has(
    encoding: str, unicode: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = Report.from_dict(samples.hostile())
    assert printed(report, encoding, monkeypatch) == report.to_text(unicode=unicode) + "\n"


def test_so_are_one_without_steps_and_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    @action
    def put(text: str) -> None:
        """Nothing."""

    with transaction("größer…") as q:
        q.add(put, "Ελλάδα")
        plan = q.plan()
        q.rollback()
    assert printed(plan, "ascii", monkeypatch) == plan.to_text(unicode=False) + "\n"
    with transaction("größer…", trace=True) as q:
        pass
    assert printed(q.report, "ascii", monkeypatch) == "gr\\xf6\\xdfer\\u2026 committed\n"
    assert str(q.report) == "größer… committed"


def test_an_output_that_says_nothing_of_its_encoding_or_nothing_known_is_no_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = Report.from_dict(samples.live())
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", None)
        assert str(report) == report.to_text()
        patched.setattr(sys, "stdout", type("Pane", (), {"encoding": "of my own"})())
        assert str(report) == report.to_text(unicode=False)


def test_rich_prints_a_report_in_colours() -> None:
    file = io.StringIO()
    Console(file=file, width=80, force_terminal=True).print(Report.from_dict(samples.rolled_back()))
    assert file.getvalue() == coloured(samples.rolled_back(), 80)
