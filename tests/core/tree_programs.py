"""Random programs, and what runs them with the package: in threads, in tasks of asyncio, in tasks of trio.

A program follows from its number: ``python -m tests.core.tree_programs 4711 asyncio`` runs one again, and
``--many 10000 asyncio`` the first ten thousand; without the name of a world, in all of them.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import count
from typing import Any

from actionqueues import NoTransaction, Retry, action, current_step, current_transaction, transaction
from tests.async_library import Library, Trio

from .tree_model import Body, Boom, Broken, Entry, Fork, Hand, Mark, Node, Program, Queue, Savepoint, Step, Trail

LONG = 20.0  # seconds after which something hangs
WORLDS = ("threads", "asyncio", "trio")

#: Ways to fork: in a thread, and in a task.  Only what is joined has always ended before its block.
THREADS = ("run", "copy", "loose run", "loose copy")
TASKS = {"asyncio": ("group", "gather", "bare", "to_thread", "run"), "trio": ("group", "bare", "to_thread", "run")}
JOINED = {"threads": ("run", "copy"), "asyncio": ("group",), "trio": ("group", "to_thread")}


@dataclass(frozen=True)
class At:
    """Where a random node is to stand."""

    depth: int = 4
    code: str = "thread"  # or tasks, or loop: sync code in the thread of an event loop, which must not wait
    loose: bool = False  # its block may have ended before
    mine: bool = True  # this flow has entered the innermost block
    in_step: bool = False  # nearer than any block
    thread: bool = False  # not the one of the block
    meets: bool = False


class Generator:
    """Makes the program of a number."""

    def __init__(self, seed: int, world: str) -> None:
        self.chance, self.world = random.Random(seed), world
        self.left, self.forks, self.numbers = 30, list[str](), count(1)

    def program(self) -> Program:
        """All of it."""
        end = self.chance.choice(("well", "well", "badly", "badly", "rollback"))
        at = At() if self.world == "threads" else At(code="tasks")
        block = Savepoint("block", self.body(at, 5), at.code == "tasks", end, True)
        cancelled = self.chance.choice(["", *self.forks]) if self.rarely(0.6) else "nobody"
        return Program(self.world, block, cancelled, self.chance.randrange(1, 16))

    def rarely(self, chance: float) -> bool:
        return self.chance.random() < chance

    def name(self, kind: str) -> str:
        return f"{kind}{next(self.numbers)}"

    def body(self, at: At, most: int = 3) -> Body:
        return tuple(self.node(at) for _ in range(self.chance.randint(1, most)) if self.left > 0)

    def node(self, at: At) -> Node:
        """A random one that may stand there."""
        self.left -= 1
        kinds = ["step"] * 5 + ["pause"] * (4 if at.code == "tasks" else 1) + ["meet"] * (3 * at.meets)
        if not at.loose:
            kinds += ["savepoint", "savepoint", "hand", "queue"]
        if at.depth and at.code != "loop":
            kinds += ["fork"] * 3
        match self.chance.choice(kinds):
            case "step":
                return self.step(at)
            case "savepoint":
                is_async = at.code == "tasks" and not self.rarely(0.2)
                end = self.chance.choice(("well", "well", "well", "badly", "rollback"))
                code = at.code if is_async or at.code == "thread" else "loop"
                inner = replace(at, depth=at.depth - 1, code=code, loose=False, mine=True, in_step=False)
                body = self.body(replace(inner, meets=at.meets and code != "loop")) if at.depth else ()
                return Savepoint(self.name("p"), body, is_async, end, self.rarely(0.6))
            case "hand":
                return Hand(self.name("h"), self.rarely(0.07), self.rarely(0.3))
            case "queue":
                code = at.code if self.world == "threads" else "loop"
                inner = At(min(at.depth, 1), code, thread=at.thread and code == "thread")
                steps = tuple(self.step(inner) for _ in range(self.chance.randint(1, 2)))
                return Queue(steps, at.mine and not at.in_step and self.rarely(0.5))
            case "fork":
                return self.fork(at)
            case kind:
                return Mark(kind)

    def step(self, at: At) -> Step:
        """A step, with a body."""
        is_async = at.code == "tasks" and not self.rarely(0.25)
        code = at.code if is_async or at.code == "thread" else "loop"
        inner = replace(at, depth=at.depth - 1, code=code, loose=False, mine=at.mine, in_step=True)
        body = self.body(replace(inner, meets=at.meets and code != "loop")) if at.depth and self.rarely(0.6) else ()
        body += (Mark("pause"),) * (self.chance.randrange(3) if is_async else 0)
        attempts = self.chance.choice((1, 1, 1, 2, 3))
        fails = self.chance.choice((0, 0, 0, attempts - 1, attempts))
        return Step(self.name("s"), body, is_async, fails, attempts, self.rarely(0.07), self.rarely(0.65))

    def fork(self, at: At) -> Fork:
        """Branches, in one of the ways that are possible there."""
        hows = TASKS[self.world] if at.code == "tasks" else THREADS
        if at.code == "thread" and (self.world != "threads" or (at.thread and at.in_step)):
            hows = tuple(how for how in hows if "copy" not in how)  # whether it is in the step is not said
        how, name = self.chance.choice(hows), self.name("f")
        code = "tasks" if how in ("group", "gather", "bare") else "thread"
        inner = replace(
            at, depth=at.depth - 1, code=code, loose=at.loose or how not in JOINED[self.world], mine=False, meets=True
        )
        inner = replace(inner, thread=at.thread or code == "thread", in_step=at.in_step and "run" not in how)
        if "copy" in how:
            inner = replace(inner, in_step=False)
        branches = tuple(self.body(inner) for _ in range(self.chance.randint(1, 3)))
        beside = self.body(replace(at, depth=at.depth - 1, meets=True)) if self.rarely(0.6) else ()
        if code == "tasks":
            self.forks += [f"{name}/{number}" for number in range(len(branches))]
        return Fork(name, how, branches, beside, self.rarely(0.5))


class Meeting:
    """Where branches wait for each other, be they tasks or threads."""

    def __init__(self, parties: int) -> None:
        self.lock, self.parties, self.waiting = threading.Lock(), set(range(parties)), list[Callable[[], object]]()
        self.begun: set[int] = set()

    def tell(self, *, leaves: int = -1, arrives: Callable[[], object] | None = None) -> None:
        """A party ends, or is here and to be woken when all are."""
        with self.lock:
            self.parties.discard(leaves)
            self.waiting += [] if arrives is None else [arrives]
            if len(self.waiting) >= len(self.parties):
                for wake in self.waiting:
                    wake()
                self.waiting.clear()

    async def wait(self, library: Library | None) -> None:
        """In a task; without a library in a thread."""
        if library is None:
            here = threading.Event()
            self.tell(arrives=here.set)
            assert here.wait(LONG)
            return
        event = library.event()
        wake = partial(library.soon(), event.set)
        self.tell(arrives=wake)
        try:
            await event.wait()
        finally:
            with self.lock, suppress(ValueError):
                self.waiting.remove(wake)


@dataclass(frozen=True)
class Place:
    """Where something runs, and where it belongs by R20: which is told here, and never asked of the package."""

    block: Entry
    q: Any
    logs: bool  # the block is async, so that its steps have logs
    within: Entry
    flow: int
    tasks: bool  # it may await
    meeting: Meeting | None = None


class Call:
    """A call of a step."""

    def __init__(self, run: Run, node: Step, place: Place, added: Entry | None = None) -> None:
        self.run, self.node, self.place, self.added = run, node, place, added
        self.entry: Entry | None = None
        self.inside: BaseException | None = None

    async def body(self) -> None:
        """What the step does."""
        trail, node, at = self.run.trail, self.node, self.place
        if self.entry is None:
            self.entry = trail.start("step", node.name, at.within, flow=at.flow, whole=at.logs, added=self.added)
        attempt, self.inside = trail.attempt(self.entry), None
        try:
            if current_step().name != node.name:
                trail.wrong.append(f"the current step in {node.name} is {current_step().name}")
            await self.run.nodes(node.body, replace(at, within=self.entry, tasks=node.is_async))
            if len(self.entry.inside) <= node.fails:
                raise Boom(node.name)
        except BaseException as error:
            self.inside = error
            raise
        finally:
            trail.leave(attempt, failed=self.inside is not None)

    async def undo(self) -> None:
        """What its handler does."""
        if self.entry is None:
            self.run.trail.wrong.append(f"{self.node.name} was undone, but its body never started")
        else:
            self.run.trail.undo(self.entry, fails=self.node.undo_fails)
        if self.node.is_async:
            await self.run.pause()
        if self.node.undo_fails:
            raise Broken(self.node.name)


def at_once(work: Coroutine[Any, Any, None]) -> None:
    """Run what does not suspend."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("sync code has been suspended")


@cache
def step_named(name: str, is_async: bool, attempts: int) -> Any:
    """The action of this name."""
    policy = Retry(attempts=attempts, on=Boom, wait_initial=0, wait_jitter=0) if attempts > 1 else None

    def body(call: Call) -> None:
        at_once(call.body())

    def undo(call: Call) -> None:
        at_once(call.undo())

    async def async_body(call: Call) -> None:
        await call.body()

    async def async_undo(call: Call) -> None:
        await call.undo()

    do: Any = async_body if is_async else body
    do.__name__ = do.__qualname__ = name
    made = action(retry=policy)(do)
    made.rollback(async_undo if is_async else undo)
    return made


class Opened:
    """A block, or a savepoint, that is entered."""

    def __init__(self, run: Run, node: Savepoint, outer: Place | None) -> None:
        self.run, self.node, self.outer = run, node, outer
        by_name = outer is not None and int(node.name[1:]) % 2 == 0
        self.q: Any = outer.q.savepoint(node.name) if outer is not None and by_name else transaction(node.name)
        self.entry: Entry | None = None
        self.inside: BaseException | None = None

    async def body(self) -> None:
        """What is inside."""
        trail, node, outer, q = self.run.trail, self.node, self.outer, self.q
        if outer is None:
            self.entry = entry = trail.start("block", node.name, None, flow=0, whole=True)
            place, self.run.root = Place(entry, q, node.is_async, entry, 0, node.is_async), q
        else:
            self.entry = entry = trail.start("savepoint", node.name, outer.within, flow=outer.flow, whole=True)
            place = replace(outer, block=entry, q=q, logs=node.is_async, within=entry, tasks=node.is_async)
        try:
            await self.run.nodes(node.body, place)
            if node.end == "badly":
                raise Boom(node.name)
            if node.end == "rollback":
                trail.leave(entry, failed=True, by_hand=True)
                try:
                    done = q.rollback()
                    if node.is_async:
                        await done
                finally:
                    trail.end(entry)
                await self.run.nodes((Step("late", (), False, 0, 1, False, True),), place)
        except BaseException as error:
            self.inside = error
            raise
        finally:
            trail.leave(entry, failed=self.inside is not None)


class Run:
    """One run of a program."""

    root: Any
    nursery: Any

    def __init__(self, program: Program) -> None:
        self.program, self.library = program, Trio() if program.world == "trio" else Library()
        self.trail = Trail(self.library.cancelled if program.world != "threads" else None)
        self.flows, self.ticks = count(1), 0
        self.added: dict[Entry, list[Call]] = {}
        self.threads: list[Branch] = []
        self.spawned: list[asyncio.Task[None]] = []
        self.cancels: dict[str, Callable[[], object]] = {}

    async def nodes(self, body: Body, place: Place) -> None:
        """One after the other."""
        for node in body:
            match node:
                case Mark("pause"):
                    await self.pause() if place.tasks else time.sleep(0)
                case Mark():
                    if place.meeting is not None:
                        await place.meeting.wait(self.library if place.tasks else None)
                case Hand():
                    self.hand(node, place)
                case Queue():
                    await self.queue(node, place)
                case Step():
                    call = Call(self, node, place)
                    with self.around(call, node, place):
                        done = step_named(node.name, node.is_async, node.attempts)(call)
                        if node.is_async:
                            await done
                case Savepoint():
                    await self.block(node, place)
                case Fork():
                    with suppress(Exception) if node.caught else nullcontext():
                        await self.fork(node, place)

    @contextmanager
    def around(self, thing: Call | Opened, node: Step | Savepoint, place: Place | None) -> Iterator[None]:
        """The code around a step or a block."""
        outside: BaseException | None = None
        since = self.trail.now
        try:
            yield
        except BaseException as error:
            outside = error
        if thing.entry is not None:
            self.settle(thing.entry)
            self.trail.cross(thing.entry, thing.inside, outside)
        elif place is not None and outside is not None:
            self.trail.refuse(node.name, place.within, outside, since)
        if outside is not None and not (node.caught and isinstance(outside, Exception)):
            raise outside

    async def block(self, node: Savepoint, place: Place | None) -> None:
        """A savepoint, or the outermost block."""
        since = self.trail.now
        try:
            opened = Opened(self, node, place)
        except Exception as error:
            assert place is not None
            self.trail.refuse(node.name, place.within, error, since)
            raise
        with self.around(opened, node, place):
            if node.is_async:
                async with opened.q as opened.q:
                    await opened.body()
            else:
                with opened.q as opened.q:
                    await opened.body()
        if place is None:
            with suppress(NoTransaction):
                self.trail.wrong.append(f"{current_transaction()} is still the current one")

    def hand(self, node: Hand, place: Place) -> None:
        """Something undone by hand."""
        entry = self.trail.start("hand", node.name, place.within, flow=place.flow)

        def undo() -> None:
            self.trail.undo(entry, fails=node.undo_fails)
            if node.undo_fails:
                raise Broken(node.name)

        undo.__name__ = undo.__qualname__ = node.name
        since = self.trail.now
        try:
            (self.root if node.far else place.q).on_rollback(undo)
        except BaseException as error:
            self.trail.refuse(node.name, place.within, error, since)
            self.trail.forget(entry)
            raise

    async def queue(self, node: Queue, place: Place) -> None:
        """Steps for later, or for now."""
        there = replace(place, within=place.block, flow=place.block.flow, meeting=None)
        for step in node.steps:
            call, since = Call(self, step, there, place.within.here), self.trail.now
            try:
                place.q.add(step_named(step.name, step.is_async, step.attempts), call)
            except BaseException as error:
                self.trail.refuse(step.name, place.within, error, since)
                raise
            self.added.setdefault(place.block, []).append(call)
        if node.now:
            try:
                done = place.q.execute()
                if place.logs:
                    await done
            finally:
                self.settle(place.block)

    def settle(self, block: Entry) -> None:
        """Queued steps have been executed."""
        for call in self.added.get(block, ()):
            if call.entry is not None and call.entry.out is None:
                self.trail.queued += [] if call.inside is None else [call.inside]
                self.trail.cross(call.entry, call.inside, call.inside)

    async def fork(self, node: Fork, place: Place) -> None:
        """Several things at once."""
        meeting, numbers = Meeting(len(node.branches) + 1), range(len(node.branches))
        if node.how == "group" or (node.how == "to_thread" and self.program.world == "trio"):
            async with self.library.group() as start:
                for number in numbers:
                    self.leaves(start(self.branch, node, number, place, meeting), number, meeting)
                await self.beside(node, place, meeting)
        elif "run" in node.how or "copy" in node.how:
            threads = [Branch(self, node, number, place, meeting) for number in numbers]
            try:
                await self.beside(node, place, meeting)
            finally:
                for thread in threads if node.how in JOINED["threads"] and not place.tasks else ():
                    thread.join(LONG)
            for thread in threads if place.tasks else ():
                await self.to_thread(thread.join)
            for error in [thread.raised for thread in threads if thread.raised and "loose" not in node.how]:
                raise error
        else:
            tasks = [self.spawn(partial(self.branch, node, number, place, meeting)) for number in numbers]
            for task, number in zip(tasks, numbers, strict=True):
                self.leaves(task, number, meeting)
            await self.beside(node, place, meeting)
            if node.how != "bare":
                await asyncio.gather(*tasks)

    @staticmethod
    def leaves(task: Any, number: int, meeting: Meeting) -> None:
        """A task may be cancelled before it begins."""

        def ended(_: object) -> None:
            if number not in meeting.begun:
                meeting.tell(leaves=number)

        if task is not None:
            task.add_done_callback(ended)

    async def beside(self, node: Fork, place: Place, meeting: Meeting) -> None:
        """What goes on in the flow that forks."""
        try:
            await self.nodes(node.beside, replace(place, meeting=meeting))
        finally:
            meeting.tell(leaves=len(node.branches))

    async def branch(self, node: Fork, number: int, place: Place, meeting: Meeting) -> None:
        """A task, or what waits for a worker thread."""
        there, body = replace(place, meeting=meeting), node.branches[number]

        def work() -> None:
            meeting.begun.add(number)
            try:
                at_once(self.nodes(body, replace(there, flow=next(self.flows), tasks=False)))
            finally:
                meeting.tell(leaves=number)

        with self.cancellable(f"{node.name}/{number}"):
            try:
                await (self.to_thread(work) if node.how == "to_thread" else self.nodes(body, there))
            finally:
                if number not in meeting.begun:
                    meeting.tell(leaves=number)

    # -- asyncio and trio

    async def pause(self) -> None:
        """A checkpoint: at one of them something is cancelled."""
        self.ticks += 1
        if self.ticks == self.program.at and self.program.cancelled in self.cancels:
            self.cancels[self.program.cancelled]()
        await self.library.checkpoint()

    @contextmanager
    def cancellable(self, name: str) -> Iterator[None]:
        if isinstance(self.library, Trio):
            with self.library.scope() as scope:
                self.cancels[name] = scope.cancel
                yield
        else:
            task = asyncio.current_task()
            assert task is not None
            self.cancels[name] = task.cancel
            yield

    async def to_thread(self, work: Callable[[], None]) -> None:
        if isinstance(self.library, Trio):
            await self.library.trio.to_thread.run_sync(work)
        else:
            await asyncio.to_thread(work)

    def spawn(self, job: Callable[[], Coroutine[Any, Any, None]]) -> Any:
        """A task that nobody has to wait for."""
        if isinstance(self.library, Trio):
            return self.nursery.start_soon(self.loose, job)
        self.spawned.append(asyncio.create_task(job()))
        return self.spawned[-1]

    async def loose(self, job: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await job()
        except (Exception, BaseExceptionGroup) as error:
            self.trail.expect("a task", error)

    async def main(self) -> None:
        with self.cancellable(""):
            await self.block(self.program.block, None)

    async def in_trio(self) -> None:
        async with Trio().trio.open_nursery() as self.nursery:
            await self.loose(self.main)

    async def in_asyncio(self) -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(100))
        self.spawn(self.main)
        while self.spawned:
            done, _ = await asyncio.wait(self.spawned)
            self.spawned = [task for task in self.spawned if task not in done]
            for task in done:
                self.trail.expect("a task", None if task.cancelled() else task.exception())

    def go(self) -> None:
        """All of it, and what it leaves."""
        try:
            if isinstance(self.library, Trio):
                self.library.trio.run(self.in_trio)
            elif self.program.world == "asyncio":
                asyncio.run(self.in_asyncio())
            else:
                at_once(self.block(self.program.block, None))
        except BaseException as error:
            self.trail.expect("the program", error)


class Branch(threading.Thread):
    """A thread that runs a branch."""

    def __init__(self, run: Run, node: Fork, number: int, place: Place, meeting: Meeting) -> None:
        super().__init__(daemon=True)
        self.raised: BaseException | None = None
        there = replace(place, flow=next(run.flows), meeting=meeting, within=place.block, tasks=False)
        begun: list[int] = []

        def work() -> None:
            begun.append(number)
            at_once(run.nodes(node.branches[number], there))

        self.enter = partial(place.q.run, work) if "run" in node.how else partial(copy_context().run, work)
        self.begun, self.node, self.number, self.place, self.meeting, self.of = begun, node, number, place, meeting, run
        self.since = run.trail.now
        run.threads.append(self)
        self.start()

    def run(self) -> None:
        try:
            self.enter()
        except BaseException as error:
            if not self.begun:
                self.of.trail.refuse(self.node.name, self.place.block, error, self.since)
            self.of.trail.expect(self.node.name, error)
            self.raised = error
        finally:
            self.meeting.tell(leaves=self.number)


def shown(thing: Node | Program | Body, indent: str = "") -> Iterator[str]:
    """A program, a line for each thing in it."""
    if isinstance(thing, tuple):
        for node in thing:
            yield from shown(node, indent)
        return
    values: dict[str, Any] = vars(thing)
    deep = {name: value for name, value in values.items() if name in ("body", "steps", "branches", "beside", "block")}
    flat = {name: value for name, value in values.items() if name not in deep and value not in (False, 0, 1)}
    yield f"{indent}{type(thing).__name__} " + ", ".join(f"{name}={value!r}" for name, value in flat.items())
    for name, value in deep.items():
        for number, branch in enumerate(value if name == "branches" else (value,)):
            yield from (f"{indent}  {name} {number}:",) if name in ("branches", "beside") and branch else ()
            yield from shown(branch, indent + "    ")


def check(seed: int, world: str) -> str:
    """Run the program of this number; what went wrong, in words, or nothing."""
    program = Generator(seed, world).program()
    run = Run(program)
    threads: list[threading.Thread] = [threading.Thread(target=run.go, daemon=True)]
    threads[0].start()
    threads[0].join(1.5 * LONG)
    threads += run.threads
    for thread in threads[1:]:
        thread.join(0 if threads[0].is_alive() else LONG)
    if any(thread.is_alive() for thread in threads):
        faulthandler.dump_traceback(all_threads=True)
        wrong = ["it hangs"]
    else:
        wrong = run.trail.verdict() + told(run.root, run.trail)
    if not wrong:
        return ""
    again = f"python -m tests.core.tree_programs {seed} {world}"
    return "\n".join([again, *wrong, " ".join(run.trail.story), *shown(program)])


def told(q: Any, trail: Trail) -> list[str]:
    """What in the end and in the report of a transaction is not as it was."""
    block, report = trail.entries[0], q.report
    wrong = trail.report(report.undone, [failure.step.name for failure in report.failures])
    if (str(q.state) == "committed") is block.failed:
        wrong.append(f"it is {q.state}, and {'failed' if block.failed else 'succeeded'}")
    if report.clean is bool(trail.broken):
        wrong.append(f"the report says clean={report.clean}")
    return wrong


def main(arguments: list[str]) -> int:
    """Run one program or many, and print what went wrong."""
    logging.getLogger("actionqueues").disabled = True
    many = arguments[:1] == ["--many"]
    number, worlds = int(arguments[many]), arguments[many + 1 :] or WORLDS
    wrong = 0
    for world in worlds:
        for seed in range(number) if many else (number,):
            words = check(seed, world)
            if words:
                wrong += 1
                print(words, end="\n\n", flush=True)
    print(f"{wrong} went wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # whatever hangs
