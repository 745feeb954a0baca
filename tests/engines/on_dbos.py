"""A program on DBOS for the tests: a workflow, sync and async, that does what a plan says and leaves a trail in a file.

A plan is a list of words.  Most are the names of steps; some are what the workflow does by itself, or how a step fails:

    raise     the workflow's code fails
    unlucky   likewise, but only while the world is not `lucky`, so that an execution after this one does not
    declined  the step fails with an exception that has an `__init__` of its own
    caught    likewise, and the workflow's code takes something from that exception
    socket    the step returns what is no plain data
    stubborn  its undo fails twice before it succeeds
    hopeless  its undo always fails
    holding its undo    the undo waits until the world's `second` gate is open
    held      the step waits until the world's `gate` is open
    wait      the workflow's code waits for that, between two steps
    mark, to mark    a mark is set, and rolled back to
    die       the process is killed if it is told to die there

Run as a program, it is one process of such a workflow, which may be killed at some point and started again::

    python -m tests.engines.on_dbos URL EXECUTOR TRAIL WORKFLOW order '["a", "b"]' --die-at '+b'
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import inspect
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from dbos import DBOS, DBOSConfig, SetWorkflowID, SetWorkflowTimeout

from actionqueues import Retry, action, current_step, transaction
from actionqueues.core.step import Step
from actionqueues.engines.dbos import DBOSEngine

ENGINE = DBOSEngine(notice_within=0)


class Effect(NamedTuple):
    """What a step (+) or its undo (-) has done outside DBOS."""

    sign: str
    name: str
    key: str
    process: int

    def __str__(self) -> str:
        return self.sign + self.name


@dataclass
class Gate:
    """Something waits until it is open, in whatever process."""

    path: Path

    def open(self) -> None:
        self.path.touch()

    def is_open(self) -> bool:
        """For something that waits for it, and is seen to."""
        self._waiting.touch()
        return self.path.exists()

    def wait_until_something_waits(self) -> None:
        wait_until(self._waiting.exists, "something waits for the gate")

    @property
    def _waiting(self) -> Path:
        return Path(f"{self.path}-waited-for")


@dataclass
class World:
    """What lies outside the workflow."""

    path: Path = Path()
    die_at: str = ""
    lucky: bool = False

    @property
    def trail(self) -> list[Effect]:
        """What was done, in order."""
        if not self.path.exists():
            return []
        return [Effect(*json.loads(line)) for line in self.path.read_text(encoding="utf-8").splitlines()]

    @property
    def names(self) -> list[str]:
        """Likewise, in short."""
        return [str(each) for each in self.trail]

    @property
    def gate(self) -> Gate:
        """What holds workflows and steps up."""
        return Gate(self.path.with_suffix(".gate"))

    @property
    def second(self) -> Gate:
        """What holds an undo up."""
        return Gate(self.path.with_suffix(".second-gate"))

    def effect(self, sign: str, name: str, key: str) -> None:
        self.die(f"before {sign}{name}")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(Effect(sign, name, key, os.getpid())) + "\n")
        self.die(f"{sign}{name}")
        self.die(f"{sign}{name}, time {self.names.count(sign + name)}")

    def die(self, where: str) -> None:
        """Kill this process, if it is to die there."""
        if where == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)


world = World()


def wait_until(true: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until, f"in a minute it was not so that {what}"
        time.sleep(0.01)


class Declined(Exception):
    """Its `args` are not what it is made from."""

    def __init__(self, code: int, *, why: str) -> None:
        super().__init__(f"declined with {code}")
        self.code, self.why = code, why


def do(name: str) -> Any:
    world.effect("+", name, current_step().key)
    current_step().save(name=name)
    if name in ("declined", "caught"):
        raise Declined(402, why="poor")
    return object() if name == "socket" else name.upper()


def take_back(step: Step[Any], name: str) -> None:
    if name == "holding its undo":
        wait_until(world.second.is_open, "the second gate is open")
    world.effect("-", name, step.key)
    if name == "hopeless" or (name == "stubborn" and world.names.count("-stubborn") < 3):
        raise ConnectionError("try again")


AGAIN = Retry(attempts=3, wait_initial=0.01, wait_jitter=0)


@action
def put(name: str) -> Any:
    if name == "held":
        wait_until(world.gate.is_open, "the gate is open")
    return do(name)


@put.rollback(retry=AGAIN)
def take(step: Step[Any], name: str) -> None:
    take_back(step, name)


@action
async def put_async(name: str) -> Any:
    while name == "held" and not world.gate.is_open():
        await asyncio.sleep(0.01)
    return do(name)


@put_async.rollback(retry=AGAIN)
async def take_async(step: Step[Any], name: str) -> None:
    await asyncio.sleep(0)
    take_back(step, name)


def by_itself(word: str) -> bool:
    """Do what the workflow's code does by itself; returns whether there was something of the kind."""
    if word == "raise" or (word == "unlucky" and not world.lucky):
        raise ValueError(word)
    if word == "die":
        world.die(word)
    if word == "wait":
        wait_until(world.gate.is_open, "the gate is open")
    return word in ("unlucky", "die", "wait")


@DBOS.workflow()
def order(plan: list[str]) -> list[Any]:
    results: list[Any] = []
    with transaction("order", engine=ENGINE) as q:
        marks: list[Any] = []
        for word in plan:
            if word == "mark":
                marks.append(q.mark())
            elif word == "to mark":
                q.rollback(to=marks[-1])
            elif word == "caught":
                try:
                    put(word)
                except Declined as error:
                    results.append(put(error.why))
            elif not by_itself(word):
                results.append(put(word))
    return results


@DBOS.workflow()
async def order_async(plan: list[str]) -> list[Any]:
    results: list[Any] = []
    async with transaction("order", engine=ENGINE) as q:
        marks: list[Any] = []
        for word in plan:
            if word == "mark":
                marks.append(q.mark())
            elif word == "to mark":
                await q.rollback(to=marks[-1])
            elif word == "caught":
                try:
                    await put_async(word)
                except Declined as error:
                    results.append(await put_async(error.why))
            elif not by_itself(word):
                results.append(await put_async(word))
    return results


@DBOS.workflow()
async def order_mixed(plan: list[str]) -> list[Any]:
    """Sync steps in an async block."""
    async with transaction("order", engine=ENGINE):
        return [put(word) for word in plan if not by_itself(word)]


FLOWS: dict[str, Any] = {"order": order, "order_async": order_async, "order_mixed": order_mixed}


@functools.cache
def a_loop() -> asyncio.AbstractEventLoop:
    """An event loop in a thread, which goes on when a test has ended."""
    loop = asyncio.new_event_loop()
    Thread(target=loop.run_forever, daemon=True).start()
    return loop


class Started:
    """A workflow that runs, and whose outcome is waited for in a thread."""

    def __init__(self, flow: Any, *args: Any, workflow_id: str = "", timeout: float | None = None) -> None:
        self.id = workflow_id or str(uuid.uuid4())
        self._outcome: Future[Any] = Future()

        async def start() -> Any:
            with SetWorkflowID(self.id), SetWorkflowTimeout(timeout):
                handle = await DBOS.start_workflow_async(flow, *args)
            asyncio.get_running_loop().create_task(wait(handle)).add_done_callback(lambda _: None)

        async def wait(handle: Any) -> None:
            try:
                self._outcome.set_result(await handle.get_result(polling_interval_sec=0.05))
            except BaseException as error:
                self._outcome.set_exception(error)

        def wait_in_a_thread(handle: Any) -> None:
            try:
                self._outcome.set_result(handle.get_result(polling_interval_sec=0.05))
            except BaseException as error:
                self._outcome.set_exception(error)

        if inspect.iscoroutinefunction(flow):
            asyncio.run_coroutine_threadsafe(start(), a_loop()).result(60)
        else:
            with SetWorkflowID(self.id), SetWorkflowTimeout(timeout):
                handle = DBOS.start_workflow(flow, *args)
            Thread(target=wait_in_a_thread, args=(handle,), daemon=True).start()

    def result(self) -> Any:
        """What it returns, or raises."""
        return self._outcome.result(60)

    def ended(self) -> BaseException | None:
        """What it raises, or None."""
        return self._outcome.exception(60)


def run(flow: Any, *args: Any) -> Any:
    """Run a workflow to its end."""
    return Started(flow, *args).result()


def names_of(workflow_id: str) -> list[str]:
    """What an operator sees of a workflow: the names of its steps."""
    return [each["function_name"] for each in DBOS.list_workflow_steps(workflow_id)]


def status_of(workflow_id: str) -> str:
    status = DBOS.get_workflow_status(workflow_id)
    return "" if status is None else status.status


@contextlib.contextmanager
def launched(url: str, executor: str) -> Iterator[None]:
    """DBOS in this process."""
    config: DBOSConfig = {
        "name": "orders",
        "system_database_url": url,
        "executor_id": executor,
        "application_version": "1",
        "log_level": "CRITICAL",
    }
    DBOS(config=config)
    DBOS.launch()
    try:
        yield
    finally:
        DBOS.destroy()


def end(number: int, frame: Any) -> None:
    """End in good order: DBOS is destroyed."""
    sys.exit("told to end")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    for name in ("url", "executor", "trail", "workflow", "flow", "plan"):
        parser.add_argument(name)
    parser.add_argument("--die-at", default="")
    parser.add_argument("--lucky", action="store_true")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, end)
    world.path, world.die_at, world.lucky = Path(options.trail), options.die_at, options.lucky
    with launched(options.url, options.executor):
        started = Started(FLOWS[options.flow], json.loads(options.plan), workflow_id=options.workflow)
        print(json.dumps({"error": repr(error)} if (error := started.ended()) else {"result": started.result()}))


if __name__ == "__main__":
    from tests.engines import on_dbos  # under the name by which DBOS and the records know it

    sys.exit(on_dbos.main())
