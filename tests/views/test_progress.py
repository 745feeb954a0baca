"""`progress`: what is counted while transactions run, and how it is shown."""

from __future__ import annotations

import asyncio
import io
import re
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from threading import Barrier, Event, Thread
from typing import Any

import pytest
from rich.console import Console

from actionqueues import ActionQueue, Retry, action, listen, progress, transaction
from actionqueues.views.counting import Counted, Figures, Run

module: Any = import_module("actionqueues.views.progress")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Look:
    """Looks at what is counted at the moment at which an action calls it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.counted = Counted(self.clock)
        self.seen: list[Figures] = []
        self.lines: list[str] = []

    def __call__(self) -> None:
        self.seen += self.counted.figures(99)[0]
        self.lines.append(self.counted.line())


@pytest.fixture
def look() -> Iterator[Look]:
    look = Look()
    with listen(look.counted):
        yield look


@action
def put(name: str, look: Callable[[], object] = list) -> None:
    look()


@put.rollback
def take(look: Callable[[], object]) -> None:
    look()


# -- what is counted


def test_queued_steps_are_counted_of_how_many(look: Look) -> None:
    def later() -> None:
        look.clock.now += 2
        look()

    with transaction("upload") as q:
        for number in range(1000):
            q.add(put, str(number))
        q.add(put, "last", later)
        q.add(put, "no more")
        q.execute()
    assert look.seen == [
        Figures("upload", False, 1000, 1002, "1,000 of 1,002 steps", "500/s", "running put"),
    ]
    assert look.lines == ["upload: 1,000 of 1,002 steps, 500/s, running put"]
    assert look.counted.result() == "upload: committed; 1,002 steps in 2.0 s"
    assert look.counted.fine


def test_nobody_knows_how_many_steps_will_be_called(look: Look) -> None:
    with transaction("sign-up"):
        put("a")
        put("b", look)
    assert look.seen == [Figures("sign-up", False, 1, None, "1 step", "", "running put")]


def test_what_is_called_beside_queued_steps_is_one_more(look: Look) -> None:
    with transaction("sign-up") as q:
        q.add(put, "a", look)
        put("b")
        q.execute()
    assert [each.far for each in look.seen] == ["1 of 2 steps"]


def test_a_failure_turns_it_to_the_way_back(look: Look) -> None:
    def fail() -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"), transaction("upload") as q:
        for number in range(3):
            q.add(put, str(number), look)
        q.add(fail)
        q.add(put, "never")
        q.execute()
    assert [(each.back, each.far, each.now) for each in look.seen] == [
        (False, "0 of 5 steps", "running put"),
        (False, "1 of 5 steps", "running put"),
        (False, "2 of 5 steps", "running put"),
        (True, "0 of 3 undone", "undo put"),
        (True, "1 of 3 undone", "undo put"),
        (True, "2 of 3 undone", "undo put"),
    ]
    assert look.counted.result() == "upload: rolled back; 4 steps, 3 undone in 0.0 s"
    assert not look.counted.fine


def test_a_retry_is_told(look: Look) -> None:
    attempts: list[int] = []

    @action(retry=Retry(attempts=3, wait_initial=0, wait_jitter=0))
    def flaky() -> None:
        attempts.append(1)
        look()
        if len(attempts) < 3:
            raise OSError

    with transaction():
        flaky()
    assert [each.now for each in look.seen] == [
        "running flaky",
        "running flaky (attempt 2)",
        "running flaky (attempt 3)",
    ]


def test_steps_inside_a_step_are_no_more_steps_but_those_in_a_savepoint_are(look: Look) -> None:
    @action
    def outer() -> None:
        put("inner")

    with transaction("nested") as q:
        q.add(outer)
        q.execute()
        with q.savepoint(), q.savepoint():
            put("in a savepoint")
        q.on_rollback(list)
        put("last", look)
    assert [each.far for each in look.seen] == ["2 of 3 steps"]


def test_what_cannot_be_undone_is_stuck(look: Look) -> None:
    @action
    def stubborn() -> None: ...

    @stubborn.rollback
    def unstubborn() -> None:
        raise OSError("locked")

    with pytest.raises(ValueError, match="x"), transaction("upload"):
        stubborn()
        raise ValueError("x")
    assert look.counted.result() == "upload: stuck; 1 step in 0.0 s"


def test_transactions_that_run_at_the_same_time_have_a_row_each(look: Look) -> None:
    ready, all_seen = Barrier(8), Event()

    def wait() -> None:
        ready.wait(60)
        all_seen.wait(60)

    def run(name: str) -> None:
        with transaction(name):
            put("a", wait)

    threads = [Thread(target=run, args=(f"number {number}",)) for number in range(7)]
    for thread in threads:
        thread.start()
    ready.wait(60)
    figures, others = look.counted.figures(5)
    line = look.counted.line()
    all_seen.set()
    for thread in threads:
        thread.join()
    assert len({each.name for each in figures}) == 5
    assert others == "2 more running"
    assert re.fullmatch(r"number \d: 0 steps, running put; 6 more running", line)
    assert look.counted.result() == "7 transactions: 7 committed; 7 steps in 0.0 s"


def test_tasks_that_run_at_the_same_time_are_named_in_one_row(look: Look) -> None:
    @action
    async def fetch(number: int, together: asyncio.Barrier) -> None:
        if number == 3:
            look()
        await together.wait()

    async def main() -> None:
        together = asyncio.Barrier(4)
        async with transaction("crawl"), asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(fetch(number, together))

    asyncio.run(main())
    assert [each.now for each in look.seen] == ["running fetch, fetch and 2 more"]


def test_many_small_transactions_are_counted(look: Look) -> None:
    for number in range(300):
        with transaction("small"):
            put("a")
            if number == 299:
                look()
    assert look.lines == ["small: 1 step; 299 ended (299 committed)"]
    assert look.counted.line() == "300 ended (300 committed)"
    assert look.counted.line() == ""  # nothing has happened since
    assert look.counted.figures(5) == ([], "300 ended (300 committed)")


def test_a_classic_queue_is_one_of_them(look: Look) -> None:
    queue = ActionQueue()
    queue.add(put, "a", look)
    queue.add(put, "b")
    queue.execute()
    assert look.seen == [Figures("action queue", False, 0, 2, "0 of 2 steps", "", "running put")]


def test_names_do_nothing_and_do_not_fill_the_line(look: Look) -> None:
    def evil() -> None:
        look()

    evil.__qualname__ = "\x1b[2J\n"
    with transaction("\x1b]0;x\x07" + "日本" * 100) as q:
        q.add(evil)
        q.execute()
    assert look.seen[0].name == r"\x1b]0;x\x07" + "日本" * 6 + "日…"
    assert look.seen[0].now == r"running \x1b[2J\n"


@pytest.mark.parametrize(
    ("seconds", "rate", "spent"),
    [(0.01, "100/s", "0.0 s"), (0.5, "2.0/s", "0.5 s"), (80, "0.8/min", "1 min 20 s"), (7260, "0.0/min", "2 h 1 min")],
)
def test_rates_and_times_are_short(seconds: float, rate: str, spent: str) -> None:
    clock = Clock()
    counted = Counted(clock)
    run = counted.begin("upload")
    key = object()
    run.started(key, "put", queued=False)
    run.ended(key)
    clock.now += seconds
    assert run.figures().rate == rate
    counted.end(run)
    assert counted.result().endswith(f" in {spent}")


def test_one_that_tells_of_itself_is_counted_likewise() -> None:
    clock = Clock()
    counted = Counted(clock)
    report = object()
    run, again = counted.begin("queue", 2, report), counted.begin("queue", 2, report)
    again.queued()  # it is shown already
    for key in ("a", "b"):
        run.started(key, key)
        run.ended(key)
    assert run.figures().far == "2 of 2 steps"
    run.turned()
    run.undoing("b", "b")
    assert run.figures().line == "queue: 0 of 2 undone, undo b"
    run.settled("b", undone=True)
    run.settled("a", undone=False)
    assert run.figures().far == "2 of 2 undone"
    counted.end(again)
    counted.end(run)
    assert counted.result() == "queue: ended; 2 steps, 1 undone in 0.0 s"


# -- how it is shown


def test_where_there_is_no_terminal_the_result_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(), transaction("upload") as q:
        for number in range(2000):
            q.add(put, str(number))
        q.execute()
    found = capsys.readouterr()
    assert re.fullmatch(r"upload: committed; 2,000 steps in \d+\.\d s\n", found.err)
    assert found.out == ""


def test_without_transactions_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with progress():
        pass
    with transaction():
        put("a")
    assert capsys.readouterr() == ("", "")


def test_one_inside_another_shows_it_once(capsys: pytest.CaptureFixture[str]) -> None:
    with progress():
        with progress(), transaction("inner"):
            put("a")
        with transaction("outer"):
            put("b")
    assert re.fullmatch(r"2 transactions: 2 committed; 2 steps in \d+\.\d s\n", capsys.readouterr().err)


def test_what_tells_of_itself_is_shown_with_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(), module.showing("queue", 2) as run, transaction("beside"):
        run.started("a", "a")
        run.ended("a")
        put("b")
    assert "2 transactions: 1 committed, 1 ended; 2 steps" in capsys.readouterr().err
    with module.showing("alone") as run, transaction("not listened to"):
        assert isinstance(run, Run)
    assert capsys.readouterr().err.startswith("alone: ended; 0 steps")


class Written(io.StringIO):
    """A file that is no terminal, and says when there is something in it."""

    encoding = "ascii"

    def __init__(self) -> None:
        super().__init__()
        self.some = Event()

    def flush(self) -> None:
        self.some.set()


def test_where_there_is_no_terminal_a_line_comes_now_and_then() -> None:
    counted, file = Counted(Clock()), Written()
    with listen(counted):
        lines = module._Lines(counted, file, 0.001)
        with transaction("日本"):
            put("a", lambda: file.some.wait(60))
        lines.stop()
    found = file.getvalue().splitlines()
    assert found[0] == r"\u65e5\u672c: 0 steps, running put"
    assert found[-1] == r"\u65e5\u672c: committed; 1 step in 0.0 s"


@pytest.mark.parametrize("file", [None, open(__file__)])  # noqa: SIM115 - one that nothing can be written to
def test_what_cannot_be_printed_is_no_matter_of_the_program(file: Any) -> None:
    counted = Counted(Clock())
    with listen(counted):
        lines = module._Lines(counted, file, 60)
        with transaction():
            put("a")
        lines.stop()


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=80, legacy_windows=False, color_system=None)


def drawn(live: Any, console: Console) -> list[str]:
    """What it draws, on another console, since this one is in use."""
    file = io.StringIO()
    Console(file=file, force_terminal=True, width=console.width, color_system=None).print(live._drawn())
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_a_terminal_has_bars_and_at_last_the_result(console: Console) -> None:
    counted = Counted(Clock())
    live = module._Live(counted, console)
    seen: list[list[str]] = []

    def look() -> None:
        seen.append(drawn(live, console))

    with listen(counted), pytest.raises(OSError, match="disk"):
        run_both(look)
    live.stop()
    bars = [re.sub("[ ━╸╺]+", " ", line) for lines in seen for line in lines]
    assert bars == [
        "before 0 steps running put",
        "[bold]upload 0 of 3 steps running put",
        "1 ended (1 committed)",
        "[bold]upload 1 of 3 steps running put",
        "1 ended (1 committed)",
        "[bold]upload 2 of 3 steps running put",
        "1 ended (1 committed)",
        "[bold]upload 0 of 3 undone undo put",
        "1 ended (1 committed)",
        "[bold]upload 1 of 3 undone undo put",
        "1 ended (1 committed)",
        "[bold]upload 2 of 3 undone undo put",
        "1 ended (1 committed)",
    ]
    assert drawn(live, console)[0].startswith("2 transactions: 1 committed, 1 rolled back; ")


def run_both(look: Callable[[], object]) -> None:
    with transaction("before"):
        put("a", look)
    with transaction("[bold]upload") as q:
        for _ in range(3):
            q.add(put, "a", look)
        q.execute()
        raise OSError("disk")


def test_a_narrow_terminal_has_the_numbers_and_the_name(console: Console) -> None:
    counted = Counted(Clock())
    console.width = 20
    live = module._Live(counted, console)
    counted.begin("upload", 2000)
    ended = counted.begin("other")
    counted.end(ended)
    assert drawn(live, console) == ["0 of 2,000 steps up…", "1 ended (1 ended)"]
    live.stop()


def test_a_drawing_that_fails_is_told_where_it_would_be(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(Clock())
    live = module._Live(counted, console)
    monkeypatch.setattr(counted, "figures", None)
    assert drawn(live, console) == ["progress cannot be drawn: TypeError"]
    live.stop()


def test_a_result_that_cannot_be_shown_is_no_matter_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def stop(self) -> None:
            raise OSError("gone")

    def broken(_: object) -> Broken:
        return Broken()

    monkeypatch.setattr(module, "_drawing", broken)
    with progress(), transaction():
        put("a")


def test_what_cannot_be_shown_at_all_is_no_matter_of_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(module, "_drawing", broken)
        with progress(), transaction():
            put("a")
    with progress(), transaction("later"):
        put("a")
    assert capsys.readouterr().err.startswith("later: committed; 1 step in ")


@pytest.mark.parametrize("broken", ["rich.console", "rich.live"])
def test_without_rich_there_are_lines_on_a_terminal_too(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Tty())
    with pytest.MonkeyPatch.context() as context:
        context.setitem(sys.modules, broken, None)
        lines = module._drawing(Counted(Clock()))
    assert isinstance(lines, module._Lines)
    lines.stop()
    live = module._drawing(Counted(Clock()))
    assert isinstance(live, module._Live)
    live.stop()


PROGRAM = """
import sys
from actionqueues import action, progress, transaction

@action
def upload(number):
    if number == 1999:
        input()
        raise OSError("disk")

@upload.rollback
def remove(number):
    if number == 1500:
        input()

try:
    with progress(), transaction("upload") as q:
        for number in range(2000):
            q.add(upload, number)
        q.execute()
except OSError as error:
    print("the program goes on", error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_a_real_terminal_shows_the_way_there_and_back(tmp_path: Path) -> None:
    import subprocess

    from tests.journal.terminal import Terminal, environment

    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with Terminal(100, 24) as terminal:
        child = subprocess.Popen(
            [sys.executable, str(program)],
            stdin=terminal.slave,
            stdout=terminal.slave,
            stderr=terminal.slave,
            env=environment(),
        )
        terminal.read(lambda: "1,999 of 2,000 steps" in terminal.output)
        terminal.press("\n")
        terminal.read(lambda: re.search(r"[45]\d\d of [12],\d\d\d undone", terminal.output))
        terminal.press("\n")
        terminal.read(lambda: "the program goes on disk" in terminal.output)
        assert child.wait(60) == 0
        assert "rolled back; 2,000 steps" in terminal.output
        assert terminal.output.rfind("\x1b[?25h") > terminal.output.rfind("\x1b[?25l")
