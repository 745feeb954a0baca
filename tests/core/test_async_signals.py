"""Ctrl-C and SIGTERM in async programs: real processes and real signals (R21, R22)."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import actionqueues

PACKAGE = str(Path(actionqueues.__file__).parent.parent)
PROLOGUE = """
import asyncio, os, signal, sys
from actionqueues import action, handle_signals, transaction

def press(number=signal.SIGINT):
    os.kill(os.getpid(), number)

def say(word):
    print(word, flush=True)

@action
async def put(name):
    say(f"+{name}")

@put.rollback
async def take(name):
    if name in undoing:
        await undoing[name]()
    await pause()
    say(f"-{name}")

undoing = {}

async def pause():
    for _ in range(5):
        await asyncio.sleep(0)
"""


def run(program: str, status: int = 0, *, closing: bool = False) -> tuple[list[str], str]:
    """Run a program to its end; what it said, and the last line of its complaints.

    What a first Ctrl-C is answered with comes from a thread, so it may stand anywhere among these, and is left out.
    If an exception ends asyncio a second time, while it is `closing`, it complains that nobody has retrieved that.
    """
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", PROLOGUE + textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": PACKAGE},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "never awaited" not in done.stderr
    assert closing or "never retrieved" not in done.stderr
    assert "was destroyed" not in done.stderr
    assert done.returncode == status, done.stderr
    lines = re.sub(r"transaction: undoing .*; twice more to abandon \w+\n?", "", done.stderr).strip().splitlines()
    return done.stdout.split(), lines[-1] if lines else ""


on_posix = pytest.mark.skipif(os.name != "posix", reason="sends itself signals with os.kill")


@on_posix
def test_one_interrupt_undoes_everything_and_comes_out_as_keyboard_interrupt() -> None:
    said, last = run(
        """
        async def main():
            async with transaction():
                await put("a")
                await put("b")
                press()
                await asyncio.sleep(60)

        asyncio.run(main())
        """,
        status=-signal.SIGINT,
    )
    assert said == ["+a", "+b", "-b", "-a"]
    assert last == "KeyboardInterrupt"


@on_posix
@pytest.mark.parametrize("presses", [1, 2])
def test_asyncio_run_under_more_interrupts_while_it_rolls_back_undoes_everything(presses: int) -> None:
    # The second one makes `asyncio.run` give up its main task and cancel all tasks, the rollback's own too.
    said, last = run(
        f"""
        async def pressed():
            for _ in range({presses}):
                press()
                await pause()

        undoing["b"] = pressed

        async def main():
            async with transaction():
                await put("a")
                await put("b")
                await put("c")
                press()
                await asyncio.sleep(60)

        asyncio.run(main())
        """,
        status=-signal.SIGINT,
    )
    assert said == ["+a", "+b", "+c", "-c", "-b", "-a"]
    assert last == "KeyboardInterrupt"


@on_posix
def test_interrupts_while_the_event_loop_waits_for_a_handler_cost_no_undo() -> None:
    said, last = run(
        """
        import threading

        async def pressed():
            for _ in range(2):
                over = asyncio.Event()
                soon = asyncio.get_running_loop().call_soon_threadsafe

                def from_a_thread():
                    press()
                    soon(over.set)

                thread = threading.Thread(target=from_a_thread)
                thread.start()
                await over.wait()
                thread.join()

        undoing["b"] = pressed

        async def main():
            async with transaction():
                await put("a")
                await put("b")
                press()
                await asyncio.sleep(60)

        asyncio.run(main())
        """,
        status=-signal.SIGINT,
    )
    assert said == ["+a", "+b", "-b", "-a"]
    assert last == "KeyboardInterrupt"


TOGETHER = """
        async def main():
            try:
                async with transaction(undo_concurrently=True) as q:
                    here = []
                    async def meet():
                        here.append(1)
                        while len(here) < 3:
                            await asyncio.sleep(0)
                    @action
                    async def upload(name):
                        say(f"+{name}")
                        await meet()
                    @upload.rollback
                    async def remove(name):
                        say(f"-{name}")
                        await undo(name)
                        say(f"={name}")
                    await put("first")
                    await asyncio.gather(upload("a"), upload("b"), upload("c"))
                    raise LookupError
            finally:
                say("failed:" + "".join(f.step.args[0] for f in q.report.failures))
                say("abandoned:" + "".join(step.args[0] for step in q.report.abandoned))
        """


@on_posix
def test_ctrl_c_while_undos_run_together_cuts_none_of_them_short() -> None:
    said, last = run(
        f"""
        async def undo(name):
            if name != "c":
                press()  # twice in all
            await pause()
        {TOGETHER}
        asyncio.run(main())
        """,
        status=-signal.SIGINT,
    )
    assert sorted(said[4:10]) == ["-a", "-b", "-c", "=a", "=b", "=c"]
    assert said[10:] == ["-first", "failed:", "abandoned:"]
    assert last == "KeyboardInterrupt"


@on_posix
@pytest.mark.parametrize("deep", [False, True])
def test_the_third_ctrl_c_cuts_all_undos_short_that_run_together_and_reports_the_rest(deep: bool) -> None:
    said, last = run(
        f"""
        async def undo(name):
            if name != "a":
                return await asyncio.sleep(60)
            if {deep}:
                await pause()  # otherwise the others have not begun to wait
            for _ in range(3):
                press()
        {TOGETHER}
        asyncio.run(main())
        """,
        status=-signal.SIGINT,
        closing=True,
    )
    assert said == ["+first", "+a", "+b", "+c", "-c", "-b", "-a", "failed:cba", "abandoned:first"]
    assert last == "KeyboardInterrupt: pressed three times: what was being done was cut short"


@on_posix
@pytest.mark.skipif(importlib.util.find_spec("trio") is None, reason="trio is not installed")
def test_the_third_ctrl_c_cuts_undos_short_that_run_together_in_trio() -> None:
    said, last = run(
        """
        import trio

        async def main():
            try:
                async with transaction(undo_concurrently=True) as q:
                    meet = trio.Event()

                    @action
                    async def upload(name):
                        say(f"+{name}")
                        if name == "b":
                            meet.set()
                        await meet.wait()

                    @upload.rollback
                    async def remove(name):
                        if name == "b":
                            await trio.sleep(60)
                        await trio.sleep(0.01)
                        say("press")
                        for _ in range(3):
                            press()

                    await upload("b")
                    meet = trio.Event()
                    async with trio.open_nursery() as nursery:
                        async def later():
                            await upload("a")
                        nursery.start_soon(later)
                        await trio.sleep(0)
                        nursery.start_soon(upload, "b")
                    raise LookupError
            finally:
                say("failed:" + "".join(sorted(f.step.args[0] for f in q.report.failures)))
                say("abandoned:" + "".join(step.args[0] for step in q.report.abandoned))

        trio.run(main)
        """,
        status=-signal.SIGINT,
    )
    assert said == ["+b", "+a", "+b", "press", "failed:ab", "abandoned:b"]
    assert last == "KeyboardInterrupt: pressed three times: what was being done was cut short"


@on_posix
def test_sigterm_rolls_back_where_the_program_asked_for_it() -> None:
    said, _ = run(
        """
        async def main():
            async with transaction():
                await put("a")
                await put("b")
                asyncio.get_running_loop().call_soon(press, signal.SIGTERM)
                await asyncio.sleep(60)

        with handle_signals():
            asyncio.run(main())
        """,
        status=128 + signal.SIGTERM,
    )
    assert said == ["+a", "+b", "-b", "-a"]


@on_posix
def test_sigterm_during_a_rollback_is_kept_until_everything_is_undone() -> None:
    said, _ = run(
        """
        async def pressed():
            press(signal.SIGTERM)

        undoing["b"] = pressed

        async def main():
            async with transaction():
                await put("a")
                await put("b")
                raise LookupError

        with handle_signals():
            asyncio.run(main())
        """,
        status=128 + signal.SIGTERM,
    )
    assert said == ["+a", "+b", "-b", "-a"]


@on_posix
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_signals_while_the_steps_of_a_group_are_undone_at_once_cost_no_undo(loop: str) -> None:
    pytest.importorskip(loop)
    said, _ = run(
        f"""
        import {loop}

        async def pressed():
            press(signal.SIGTERM)

        undoing["b"] = undoing["c"] = pressed

        async def stay(name):
            await put(name)
            await failing(name)

        @action
        async def failing(name):
            await asyncio.sleep(60)

        @failing.rollback
        async def fail(name):
            await take(name)

        async def main():
            async with transaction():
                await put("a")
                async with asyncio.TaskGroup() as group:
                    group.create_task(stay("b"))
                    group.create_task(stay("c"))
                    asyncio.get_running_loop().call_later(0.01, press, signal.SIGTERM)

        with handle_signals(), asyncio.Runner(loop_factory={loop}.new_event_loop) as runner:
            runner.run(main())
        """,
        status=128 + signal.SIGTERM,
        closing=True,
    )
    assert sorted(said) == sorted(["+a", "+b", "+c", "-b", "-c", "-c", "-b", "-a"])
    assert said[-1] == "-a"


@on_posix
def test_uvloop_and_interrupts() -> None:
    pytest.importorskip("uvloop")
    said, last = run(
        """
        import uvloop

        async def main():
            async with transaction():
                await put("a")
                await put("b")
                press()
                await asyncio.sleep(60)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
        """,
        status=-signal.SIGINT,
    )
    assert said == ["+a", "+b", "-b", "-a"]
    assert last == "KeyboardInterrupt"


@on_posix
@pytest.mark.skipif(importlib.util.find_spec("trio") is None, reason="trio is not installed")
@pytest.mark.parametrize("presses", [0, 1, 2])
def test_trio_rolls_back_on_an_interrupt_and_goes_on_after_a_second(presses: int) -> None:
    said, last = run(
        f"""
        import trio

        async def pressed():
            for _ in range({presses}):
                press()
                await pause()

        undoing["b"] = pressed

        async def pause():
            for _ in range(5):
                await trio.lowlevel.checkpoint()

        async def main():
            async with transaction():
                await put("a")
                await put("b")
                press()
                await trio.sleep(60)

        trio.run(main)
        """,
        status=-signal.SIGINT,
    )
    assert said == ["+a", "+b", "-b", "-a"]
    assert last == "KeyboardInterrupt"


@on_posix
@pytest.mark.skipif(importlib.util.find_spec("trio") is None, reason="trio is not installed")
def test_sigterm_rolls_back_while_trio_waits() -> None:
    said, _ = run(
        """
        import threading, trio

        class Waits(trio.abc.Instrument):
            def before_io_wait(self, timeout):
                if timeout > 1:
                    waits.set()

        waits = threading.Event()

        def terminate():
            waits.wait()
            signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)

        async def pause():
            for _ in range(5):
                await trio.lowlevel.checkpoint()

        async def main():
            async with transaction():
                await put("a")
                await put("b")
                threading.Thread(target=terminate).start()
                await trio.sleep(60)

        with handle_signals():
            trio.run(main, instruments=[Waits()])
        """,
        status=128 + signal.SIGTERM,
    )
    assert said == ["+a", "+b", "-b", "-a"]
